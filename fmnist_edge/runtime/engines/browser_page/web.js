// A folder that `export --format web` wrote, through its own module.

export async function load({ artifact, shape, classes }) {
  const { Classifier } = await import(`${artifact}classifier.js`);
  // The module keeps the WebAssembly's exports to itself. They are needed to time the model without the resize.
  const { instantiate } = WebAssembly;
  let wasm = null;
  WebAssembly.instantiate = async (...args) => {
    const found = await instantiate.call(WebAssembly, ...args);
    wasm = found.instance.exports;
    return found;
  };
  let classify;
  try {
    classify = await Classifier.load(new URL(artifact, self.location.href));
  } finally {
    WebAssembly.instantiate = instantiate;
  }
  const [height, width] = shape;
  return {
    variant: classify.file,
    run(tensor) {
      const { buffer } = wasm.memory;
      new Int8Array(buffer, wasm.input(), tensor.length).set(tensor);
      wasm.run();
      return new Int8Array(buffer, wasm.output(), classes).slice();
    },
    classify: (data) => classify({ data, width, height }),
    close() {},
  };
}
