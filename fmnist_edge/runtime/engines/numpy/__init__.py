"""An interpreter of `.tflite` files made of NumPy alone: slow, always there, and readable.

`flatbuffer` reads bytes with bounds checks, `model` makes tensors and ops of them, `program` checks the whole graph and
binds each op to a kernel, `engine` runs it. Kernels come in a file per kind of arithmetic: `floats`, `integers`
(bit for bit TensorFlow Lite's reference kernels), `hybrid` (float activations, int8 weights) and `shapes`.
"""
