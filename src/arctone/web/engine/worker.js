// The worker of one model. It is a classic worker, because LiteRT.js loads its WebAssembly with importScripts, which
// module workers refuse; everything else is imported as modules.

const ready = import("./serve.js");

self.onmessage = async (event) => {
  const { receive } = await ready;
  receive(event.data);
};
