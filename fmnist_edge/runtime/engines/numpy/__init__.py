"""An interpreter for `.tflite` files that needs only NumPy: slow, always available, and readable.

`runtime.flatbuffer` reads bytes with bounds checks, `model` parses tensors and ops, `program` checks the whole graph
and binds each op to a kernel, and `engine` runs it. Kernels are in one file per kind of arithmetic: `floats`,
`integers` with `nonlinear` (bit for bit like TensorFlow Lite's reference kernels), `hybrid` (float activations, int8
weights) and `shapes`.
"""
