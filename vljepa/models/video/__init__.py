"""V-JEPA: masks over a clip's tokens, the narrow predictor, and the model of both with its encoder and teacher."""
