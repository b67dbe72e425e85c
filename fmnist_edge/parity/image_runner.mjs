// Brings images to a model's size by the WebAssembly module of an exported folder: what its page does with a decoded image.
// stdin: for each image two int32, width and height, and its RGBA pixels. stdout: the pixels that the model would see.
// Nothing of the folder but the module runs.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const PAGE = 65536;
const { instance } = await WebAssembly.instantiate(readFileSync(join(process.argv[2], "model.wasm")), {});
const wasm = instance.exports;
const input = readFileSync(0);
const size = wasm.height() * wasm.width() * wasm.channels();
for (let at = 0; at < input.length; ) {
  const [width, height] = [input.readInt32LE(at), input.readInt32LE(at + 4)];
  const end = (at += 8) + 4 * width * height;
  const needed = wasm.image_bytes(width, height);
  if (!needed) throw new Error(`the module does not take ${width} x ${height} pixels`);
  const rows = wasm.heap() + needed;
  const missing = rows + 4 * width * height - wasm.memory.buffer.byteLength;
  if (missing > 0) wasm.memory.grow(Math.ceil(missing / PAGE));
  wasm.image_begin(width, height, 4, -1, wasm.heap());
  new Uint8Array(wasm.memory.buffer).set(input.subarray(at, end), rows);
  if (wasm.image_rows(rows, height, 4 * width, wasm.heap())) throw new Error("the module refuses transparent pixels");
  process.stdout.write(Buffer.from(new Uint8Array(wasm.memory.buffer, wasm.pixels(), size)));
  at = end;
}
