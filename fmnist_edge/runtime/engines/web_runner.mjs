// Runs the WebAssembly module of an exported folder for the engine `web`: int8 images on stdin, int8 scores on stdout.
// The first line of the output is JSON: the module's tensors, or {"error"}. Nothing of the folder but the module runs.
import { readFileSync } from "node:fs";
import { join } from "node:path";

// A module with one instruction of simd128.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

function say(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

async function start(folder) {
  const file = WebAssembly.validate(Uint8Array.from(SIMD)) ? "model.simd.wasm" : "model.wasm";
  const { instance } = await WebAssembly.instantiate(readFileSync(join(folder, file)), {});
  const wasm = instance.exports;
  const weights = readFileSync(join(folder, "weights.bin"));
  if (weights.length !== wasm.weights_bytes()) throw new Error(`weights.bin has ${weights.length} bytes`);
  new Uint8Array(wasm.memory.buffer).set(weights, wasm.weights());
  const shape = [wasm.height(), wasm.width(), wasm.channels()];
  const size = shape[0] * shape[1] * shape[2];
  const image = new Uint8Array(wasm.memory.buffer, wasm.input(), size);
  const scores = new Uint8Array(wasm.memory.buffer, wasm.output(), wasm.classes());
  say({
    version: `Node ${process.versions.node}, ${file}`,
    shape,
    classes: wasm.classes(),
    input: [wasm.input_scale(), wasm.input_zero_point()],
    output: [wasm.output_scale(), wasm.output_zero_point()],
  });
  let filled = 0;
  for await (const piece of process.stdin) {
    for (let at = 0; at < piece.length; ) {
      const taken = Math.min(size - filled, piece.length - at);
      image.set(piece.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (filled === size) {
        wasm.run();
        process.stdout.write(Buffer.from(scores));
        filled = 0;
      }
    }
  }
}

start(process.argv[2]).catch((error) => say({ error: `${error.name}: ${error.message}` }));
