"""What methods on language models share with those who use what they trained."""
