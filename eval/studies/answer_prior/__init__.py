"""Questions whose answers are skewed: does a trained model know more than the question alone tells?"""
