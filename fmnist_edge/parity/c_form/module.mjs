// Reads images from images.bin, and writes the scores that a WebAssembly module gives to scores.bin.
import { readFileSync, writeFileSync } from "node:fs";

const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]));
const { memory, image, scores, image_length, classes, target, run } = instance.exports;
const images = readFileSync("images.bin");
const length = image_length();
const answers = Buffer.alloc((images.length / length) * classes());
for (let i = 0; i * length < images.length; i++) {
  new Uint8Array(memory.buffer, image(), length).set(images.subarray(i * length, (i + 1) * length));
  run();
  answers.set(new Uint8Array(memory.buffer, scores(), classes()), i * classes());
}
const name = new Uint8Array(memory.buffer, target());
writeFileSync("target.txt", name.subarray(0, name.indexOf(0)));
writeFileSync("scores.bin", answers);
