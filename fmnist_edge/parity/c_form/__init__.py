"""A model's C form on other machines: emulated Arm cores, and WebAssembly in Node."""
