// ONNX Runtime Web: its WASM backend with one thread.

import * as ort from "onnxruntime-web";

ort.env.wasm.numThreads = 1;
ort.env.wasm.proxy = false;
ort.env.wasm.wasmPaths = "/npm/onnxruntime-web/dist/";
ort.env.logLevel = "error";

export async function load({ artifact, tensorShape, dtype }) {
  const content = new Uint8Array(await (await fetch(artifact)).arrayBuffer());
  const session = await ort.InferenceSession.create(content, { executionProviders: ["wasm"] });
  const [input] = session.inputNames;
  const [output] = session.outputNames;
  return {
    run: async (values) => (await session.run({ [input]: new ort.Tensor(dtype, values, tensorShape) }))[output].data,
    close: () => session.release(),
  };
}
