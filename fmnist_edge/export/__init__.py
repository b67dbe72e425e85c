"""Keras model in, the bytes of a model file out: one file per format, precisions as data."""
