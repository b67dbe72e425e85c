// Runs the model off the page's thread. A request is {id, method, args}; the reply {id, value} or {id, error}.

import { Classifier } from "./classifier.js";

let loading = null;

const methods = {
  async load({ url, options }) {
    loading = Classifier.load(url, options);
    const { contract, manifest, file, bytesLoaded } = await loading;
    return { contract, manifest, file, bytesLoaded };
  },
  async classify({ image, options }) {
    return (await loading)(image, options);
  },
  async scores({ image, options }) {
    return (await loading).scores(image, options);
  },
  async selfTest() {
    return (await loading).selfTest();
  },
  async photoTest() {
    return (await loading).photoTest();
  },
};

self.addEventListener("message", async ({ data: { id, method, args } }) => {
  try {
    self.postMessage({ id, value: await methods[method](args) });
  } catch (error) {
    self.postMessage({ id, error: { name: error.name, message: error.message } });
  }
});
