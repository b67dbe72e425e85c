// Classify images with the model in this folder: in a page, a worker, or Node 18 and later. No dependency, no eval.
//
//   import { Classifier } from "./classifier.js";
//   const classify = await Classifier.load(new URL("./", import.meta.url));
//   const answer = await classify(imageDataOrBitmap, { invert: "auto" });
//
// What is computed is in the WebAssembly module: resizing as Python does it, and the model. This file reads, checks and
// converts what goes in and comes out. See classifier.d.ts for types.

import { ArtifactError, InputError, UnavailableError, shown } from "./errors.js";
import { decide, isKnown, largestDifference, multilabel, probabilities, scoreCount } from "./answers.js";
import { MANIFEST, checkManifest, checked, parsed, reader, sha256Of, unpacked } from "./folder.js";
import { groundOf, ready, wrongSize } from "./images.js";

export { ArtifactError, FmnistEdgeError, InputError, UnavailableError } from "./errors.js";

const WEIGHTS = "weights.bin";
const PAGE = 65536; // bytes, of WebAssembly's memory
const CHUNK = 1 << 20; // bytes of an image that are copied at once
const LAYOUTS = { 1: [1, 1], 3: [3, -3], 4: [4, -4] }; // values per pixel -> layouts in RGB and BGR order
const INVERT = ["never", "auto", "always"];
const TRANSPARENT =
  "the image has transparent pixels; say what lies behind them: {ground: 0} (black) to {ground: 255} (white)";
// A module with one instruction of simd128.
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);

export class Classifier {
  /**
   * Load the folder at `url`. Returns a function that classifies images, with the members of a Classifier.
   */
  static async load(url, { simd, abstain, fetch: given } = {}) {
    const read = reader(url, given);
    const manifest = parsed(await read(MANIFEST));
    checkManifest(manifest);
    const wanted = simd ?? WebAssembly.validate(SIMD);
    const name = wanted ? "model.simd.wasm" : "model.wasm";
    const [code, weights] = await Promise.all([checked(read, manifest, name), checked(read, manifest, WEIGHTS)]);
    let exported;
    try {
      exported = (await WebAssembly.instantiate(code, {})).instance.exports;
    } catch (error) {
      throw new ArtifactError(`${name}: ${error.message}; export the model again, or try a newer browser`);
    }
    const made = new Classifier(exported, manifest, weights, abstain, read, name);
    const classify = (image, options) => made.classify(image, options);
    for (const member of ["scores", "selfTest", "photoTest"]) classify[member] = made[member].bind(made);
    return Object.assign(classify, { contract: made.contract, manifest, file: name, bytesLoaded: read.bytes });
  }

  constructor(exported, manifest, weights, abstain, read, file) {
    this.contract = manifest.contract;
    this.manifest = manifest;
    this.wasm = exported;
    this.read = read;
    this.file = file;
    const [height, width, channels] = this.contract.input_shape;
    const found = [exported.height?.(), exported.width?.(), exported.channels?.(), exported.classes?.()];
    this.classes = scoreCount(this.contract);
    if (`${found}` !== `${[height, width, channels, this.classes]}` || exported.weights_bytes() !== weights.length) {
      throw new ArtifactError(`${file}: it does not fit its manifest; export the model again`);
    }
    this.size = height * width * channels;
    new Uint8Array(exported.memory.buffer).set(weights, exported.weights());
    this.confidence = manifest.confidence ?? null;
    if (this.confidence === null && abstain) {
      throw new InputError("abstain: true needs a confidence in the manifest, and there is none");
    }
    this.abstain = abstain ?? this.confidence?.abstain ?? false;
  }

  async classify(image, options = {}) {
    const start = performance.now();
    const source = await ready(image);
    const inverted = this.place(source, options);
    const pixels = this.pixels().slice();
    const scores = this.run();
    return this.answer(scores, pixels, inverted, start);
  }

  /** The model's outputs for an image, Float32Array: logits or probabilities, as the contract says. */
  async scores(image, options = {}) {
    const source = await ready(image);
    this.place(source, options);
    return this.run();
  }

  run() {
    this.wasm.classify();
    return new Float32Array(this.wasm.memory.buffer, this.wasm.scores(), this.classes).slice();
  }

  /** A view of the pixels that the model will see. It ends when memory grows. */
  pixels() {
    return new Uint8Array(this.wasm.memory.buffer, this.wasm.pixels(), this.size);
  }

  /**
   * Bring an image to the model's size, and to its polarity. Returns whether it looks inverted and is left so. From here
   * to the answer nothing waits: calls at the same time share the module's memory.
   */
  place(source, { invert = "never", order = "RGB", ground = null } = {}) {
    if (!INVERT.includes(invert)) throw new InputError(`invert is ${shown(invert)}; expected ${INVERT.join(", ")}`);
    if (order !== "RGB" && order !== "BGR") throw new InputError(`order is ${shown(order)}; expected RGB or BGR`);
    source((part) => this.put(part, order, groundOf(ground)));
    const looks = this.wasm.looks_inverted() !== 0;
    if (invert === "always" || (invert === "auto" && looks)) this.wasm.invert();
    return invert === "never" && looks;
  }

  /** Rows of an image, from the first or after those before. Returns nothing. */
  put({ width, height, rows, values, from, count }, order, ground) {
    const layout = LAYOUTS[values][order === "RGB" ? 0 : 1];
    const { memory, heap, image_bytes: bytes, image_begin: begin, image_rows: more } = this.wasm;
    const workspace = heap();
    if (from === 0) {
      const needed = bytes(width, height);
      if (!needed) throw wrongSize(width, height);
      this.chunk = workspace + needed;
      this.reserve(this.chunk + Math.max(CHUNK, width * values));
      begin(width, height, layout, ground, workspace);
    }
    const length = width * values;
    const step = Math.max(1, Math.floor(CHUNK / length));
    for (let row = 0; row < count; row += step) {
      const piece = rows.subarray(row * length, Math.min(count, row + step) * length);
      new Uint8Array(memory.buffer).set(piece, this.chunk);
      const failed = more(this.chunk, piece.length / length, length, workspace);
      if (failed) throw new InputError(TRANSPARENT);
    }
  }

  reserve(end) {
    const missing = end - this.wasm.memory.buffer.byteLength;
    if (missing <= 0) return;
    try {
      this.wasm.memory.grow(Math.ceil(missing / PAGE));
    } catch {
      throw new UnavailableError(
        `there is no memory for this image, ${end.toLocaleString("en")} bytes; use a smaller one`,
      );
    }
  }

  answer(scores, pixels, looksInverted, start) {
    const { contract, confidence } = this;
    const rows = probabilities(scores, contract, confidence);
    const found = { looks_inverted: looksInverted, pixels };
    if (contract.task === "multilabel") return { ...multilabel(rows, contract), ...found, ...took(start) };
    const index = decide(rows, contract);
    const known = !(confidence && this.abstain) || isKnown(scores, rows[index], index, pixels, contract, confidence);
    const label = known ? contract.labels[index] : null;
    const labels = label === null ? [] : [label];
    return { label, index, confidence: rows[index], probabilities: rows, labels, ...found, ...took(start) };
  }

  /** Replay the golden vectors: images with the scores that they had at the export. */
  async selfTest() {
    const { golden } = this.manifest;
    if (!golden) throw new ArtifactError("the artifact has no golden vectors; export the model again");
    const images = await unpacked(golden.images, Uint8Array);
    const expected = await unpacked(golden.scores, Float32Array);
    const vectors = [];
    for (let number = 0; number < images.length / this.size; number++) {
      this.pixels().set(images.subarray(number * this.size, (number + 1) * this.size));
      const want = expected.subarray(number * this.classes, (number + 1) * this.classes);
      const delta = largestDifference(this.run(), want);
      vectors.push({ number, passed: delta <= golden.tolerance, max_abs_delta: delta });
    }
    return {
      passed: vectors.every((item) => item.passed),
      tolerance: golden.tolerance,
      engine: golden.engine,
      vectors,
    };
  }

  /**
   * Classify the golden photos, image files whose pixels and scores are Python's. `decode`: bytes of a PNG -> an image
   * as `classify` takes it.
   */
  async photoTest(decode = (bytes) => new Blob([bytes], { type: "image/png" })) {
    const results = [];
    for (const photo of this.manifest.photos?.images ?? []) {
      const image = await decode(await checked(this.read, this.manifest, photo.file));
      const source = await ready(image);
      this.place(source, { invert: "auto" });
      const [pixels, scores] = [this.pixels().slice(), this.run()];
      const sha256 = await sha256Of(pixels);
      const delta = largestDifference(scores, photo.scores);
      const samePixels = sha256 === photo.pixels_sha256;
      results.push({
        file: photo.file,
        passed: samePixels && delta === 0,
        same_pixels: samePixels,
        max_abs_delta: delta,
      });
    }
    return { passed: results.every((item) => item.passed), photos: results };
  }
}

function took(start) {
  return { latency_ms: performance.now() - start };
}
