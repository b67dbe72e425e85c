// Starts the worker that runs a model, and passes requests on to it.

"use strict";

let worker = null;
let last = 0;
const waiting = new Map();

function ask(method, args = {}) {
  return new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    worker.postMessage({ id: last, method, args });
  });
}

// Start a worker, load the model there and classify an image. Milliseconds are from the start of the worker.
async function start(spec) {
  const begin = performance.now();
  worker = new Worker("worker.js");
  worker.onmessage = ({ data: { id, value, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(value);
    else reject(new Error(error));
  };
  worker.onerror = (event) => {
    for (const { reject } of waiting.values()) reject(new Error(event.message ?? "the worker did not start"));
  };
  const variant = await ask("load", spec);
  const loaded = performance.now();
  await ask("first");
  return { variant, load_ms: loaded - begin, first_answer_ms: performance.now() - begin };
}
