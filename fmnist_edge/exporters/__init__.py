"""Export: convert a Keras model to the bytes of a model file. Each format has one module; precisions are data."""
