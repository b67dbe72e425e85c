"""Keras model in, `.tflite` / `.onnx` bytes out: one file per format, precisions as data."""
