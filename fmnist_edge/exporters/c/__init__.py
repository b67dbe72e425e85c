"""A model as C99: an integer-only `.tflite` file becomes sources that need no interpreter, heap or library.

`graph` reads the file with the numpy engine's parser and checks, `tables` joins chains of elementwise ops,
`window_sums` joins ops that depend on one sum of neighbouring channels, `memory` plans the arena, `linear` packs
weights, `winograd` chooses convolutions that take fewer multiplications, `pairs` orders AVX2's 16-bit sums, `binary`
finds short formulas for sums and products, `steps` describes each op to its kernel, and `source` writes the files. The
kernels are real C in `kernels/`. They compute what the numpy engine computes, bit for bit.
"""
