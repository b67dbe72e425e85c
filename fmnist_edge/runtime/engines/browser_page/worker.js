// Runs and times a model. A request is {id, method, args}, the reply {id, value} or {id, error}.
//
// It is a classic worker, because LiteRT.js calls importScripts. A runtime is a module with `load(spec)`, which gives
// {run, close} and, if it has its own, {classify, variant}: `run(tensor)` takes and gives a typed array, `classify(pixels)`
// takes the bytes of an image. Either may return a promise.

"use strict";

const KINDS = { float32: Float32Array, int8: Int8Array, uint8: Uint8Array };
let spec = null;
let runtime = null;
let model = null;
let tensors = [];
let images = [];
let next = 0;

async function load() {
  const prepare = preparer(spec);
  const loaded = await runtime.load(spec);
  const classify = async (pixels) => largest(await loaded.run(prepare(pixels)));
  model = { classify, ...loaded };
}

// A function that turns an image's bytes into the model's input, as Python does: by a table of what each byte becomes.
function preparer({ table, shape, layout, reversed, dtype }) {
  const values = new KINDS[dtype](bytesOf(table).buffer);
  const [height, width, channels] = shape;
  const each = values.length > 256;
  const size = height * width * channels;
  const places = new Int32Array(size);
  const starts = new Int32Array(size);
  const pixels = height * width;
  for (let at = 0; at < size; at++) {
    const channel = at % channels;
    const target = reversed ? channels - 1 - channel : channel;
    const pixel = (at - channel) / channels;
    places[at] = layout === "NCHW" ? target * pixels + pixel : pixel * channels + target;
    starts[at] = each ? 256 * target : 0;
  }
  return (image) => {
    const tensor = new KINDS[dtype](size);
    for (let at = 0; at < size; at++) tensor[places[at]] = values[starts[at] + image[at]];
    return tensor;
  };
}

function largest(scores) {
  return scores.indexOf(Math.max(...scores));
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

async function parts(url, Kind, length) {
  const buffer = await (await fetch(url)).arrayBuffer();
  const step = length * Kind.BYTES_PER_ELEMENT;
  return Array.from({ length: buffer.byteLength / step }, (_, i) => new Kind(buffer.slice(i * step, (i + 1) * step)));
}

async function called(call, item) {
  const found = call(item);
  return found instanceof Promise ? await found : found;
}

const calls = { engine: () => [model.run, tensors], end_to_end: () => [model.classify, images] };

const methods = {
  async load(given) {
    spec = given;
    runtime = await import(spec.module);
    await load();
    return model.variant ?? "";
  },
  async first() {
    const [height, width, channels] = spec.shape;
    await called(model.classify, new Uint8Array(height * width * channels));
  },
  async reload() {
    model.close();
    const begin = performance.now();
    await load();
    return performance.now() - begin;
  },
  async run() {
    const length = spec.shape.reduce((a, b) => a * b);
    const found = [];
    for (const tensor of await parts("/data/batch", KINDS[spec.dtype], length)) {
      const scores = await called(model.run, tensor);
      const bytes = new Uint8Array(scores.buffer, scores.byteOffset, scores.byteLength);
      found.push(btoa(String.fromCharCode(...bytes)));
    }
    return found;
  },
  // What an image of each is taken for, through the whole of a call.
  async label({ url }) {
    const length = spec.shape.reduce((a, b) => a * b);
    const answers = [];
    for (const image of await parts(url, Uint8Array, length)) answers.push(await called(model.classify, image));
    return answers.map((answer) => answer.index ?? answer);
  },
  async data() {
    const length = spec.shape.reduce((a, b) => a * b);
    tensors = await parts("/data/tensors", KINDS[spec.dtype], length);
    images = await parts("/data/images", Uint8Array, length);
  },
  // Call for `ms` and at least `runs` times; [number of calls, milliseconds].
  async warmUp({ series, ms, runs }) {
    const [call, items] = calls[series]();
    const begin = performance.now();
    let count = 0;
    do await called(call, items[count % items.length]);
    while (++count < runs || performance.now() - begin < ms);
    return [count, performance.now() - begin];
  },
  // Time calls for `ms`, or until there are `most` samples. A sample is the mean of `each` calls, in nanoseconds.
  async window({ series, ms, most, each }) {
    const [call, items] = calls[series]();
    const samples = [];
    const begin = performance.now();
    let end = begin;
    do {
      const start = performance.now();
      for (let i = 0; i < each; i++) {
        const found = call(items[next]);
        if (found instanceof Promise) await found;
        next = (next + 1) % items.length;
      }
      end = performance.now();
      samples.push(Math.round(((end - start) * 1e6) / each));
    } while (end - begin < ms && samples.length < most);
    return samples;
  },
  // The smallest step of the clock, in nanoseconds.
  clock() {
    let least = Infinity;
    for (let i = 0, before = performance.now(); i < 200; ) {
      const now = performance.now();
      if (now === before) continue;
      least = Math.min(least, now - before);
      before = now;
      i++;
    }
    return { clock_ns: Math.round(least * 1e6), isolated: self.crossOriginIsolated };
  },
};

self.addEventListener("message", async ({ data: { id, method, args } }) => {
  try {
    self.postMessage({ id, value: await methods[method](args) });
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
});
