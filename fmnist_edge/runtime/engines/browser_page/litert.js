// LiteRT.js: its WASM backend with one thread.

import { Tensor, loadAndCompile, loadLiteRt } from "@litertjs/core";

const WASM = "/npm/@litertjs/core/wasm/";
let loading = null;

self.Module = { locateFile: (name) => WASM + name }; // it would look beside the worker

export async function load({ artifact, tensorShape }) {
  loading ??= loadLiteRt(WASM);
  await loading;
  const content = new Uint8Array(await (await fetch(artifact)).arrayBuffer());
  const model = await loadAndCompile(content, { accelerator: "wasm" });
  return {
    async run(values) {
      const input = new Tensor(values, tensorShape);
      const [output] = await model.run(input);
      const found = await output.data();
      input.delete();
      output.delete();
      return found;
    },
    close: () => model.delete(),
  };
}
