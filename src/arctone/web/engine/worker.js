// The worker of one model. It is a classic worker, because LiteRT.js loads its WebAssembly with importScripts, which
// module workers refuse; everything else is imported as modules.

const ready = import("./serve.js");

self.onmessage = async ({ data }) => {
  try {
    (await ready).receive(data);
  } catch (failure) {
    const message = `The engine's scripts cannot be loaded: ${failure.message ?? failure}.`;
    self.postMessage({ id: data.id, kind: "failed", error: { name: "ModelError", message } });
  }
};
