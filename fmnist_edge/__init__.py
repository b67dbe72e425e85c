"""Export small Keras CNNs to the edge, prove they are still the same model, time them, embed them."""

__version__ = "0.1.0"
