// LiteRT.js: a model's graphs, opened in this worker on one thread. Numbers in and out are typed arrays.

import { ModelError } from "./errors.js";
import { request } from "./files.js";

// A module that is valid where relaxed SIMD is known; elsewhere the runtime's other build is loaded.
const RELAXED_SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253,
  128, 2, 11,
]);

/** Load the runtime. `base`: URL of its folder. */
export async function loadRuntime(base, signal) {
  const name = WebAssembly.validate(RELAXED_SIMD) ? "litert_wasm_internal" : "litert_wasm_compat_internal";
  const [wasmBinary, litert] = await Promise.all([
    request(new URL(`${name}.wasm.gz`, base), { signal }).then(unzipped),
    import(new URL("litert.js", base)),
  ]);
  // All is computed by WebAssembly, so no graphics adapter is asked for.
  Object.defineProperty(navigator, "gpu", { value: undefined, configurable: true });
  // The runtime reports to the console at each start; failures come as exceptions.
  const quiet = () => {};
  self.Module = { wasmBinary, locateFile: (file) => String(new URL(file, base)), print: quiet, printErr: quiet };
  const { info, warn, log } = console;
  Object.assign(console, { info: quiet, warn: quiet, log: quiet });
  try {
    await litert.loadLiteRt(String(new URL(`${name}.js`, base)));
  } finally {
    Object.assign(console, { info, warn, log });
  }
  return litert;
}

/** Some servers undo the compression of .gz files themselves. */
async function unzipped(response) {
  const data = new Uint8Array(await response.arrayBuffer());
  if (data[0] !== 0x1f || data[1] !== 0x8b) return data.buffer;
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** One graph: signatures T64, T128, ... of fixed lengths, or others by name. */
export class Graph {
  /** `content`: bytes of a .tflite file. */
  static async open(litert, path, content) {
    try {
      const cpuOptions = { numThreads: 1 };
      return new Graph(litert, path, await litert.loadAndCompile(content, { accelerator: "wasm", cpuOptions }));
    } catch (failure) {
      throw new ModelError(`${path} cannot be opened: ${failure.message ?? failure}.`);
    }
  }

  constructor(litert, path, model) {
    this._litert = litert;
    this._path = path;
    this._model = model;
    this._lengths = Object.keys(model.signatures).filter((name) => /^T\d+$/.test(name)).map((name) => Number(name.slice(1)));
    this._lengths.sort((a, b) => a - b);
  }

  /** The shortest length that holds a number of latent frames. */
  window(frames) {
    const found = this._lengths.find((length) => length >= frames);
    if (found) return found;
    throw new ModelError(`the sound is ${frames} latent frames long, but ${this._path} holds ${this._lengths.at(-1)}.`);
  }

  /** Run a signature. `inputs`: { name: [typed array, shape] }; further ones are left out. Returns: { name: Float32Array }. */
  async run(signature, inputs) {
    const { Tensor } = this._litert, runner = this._model.signatures[signature];
    const wanted = runner.getInputDetails().map(({ name }) => name);
    const tensors = Object.fromEntries(wanted.map((name) => [name, new Tensor(...inputs[name])]));
    let outputs = {};
    try {
      outputs = await runner.run(tensors);
      const found = {};
      for (const [name, tensor] of Object.entries(outputs)) found[name] = await tensor.data();
      return found;
    } catch (failure) {
      throw new ModelError(`${this._path} cannot be run: ${failure.message ?? failure}.`);
    } finally {
      for (const tensor of [...Object.values(tensors), ...Object.values(outputs)]) tensor.delete();
    }
  }

  /** Give its memory back. */
  close() {
    this._model.delete();
  }
}

/** Rows of `columns` numbers filled up with zeros to a width. */
export function filled(values, columns, width) {
  if (columns === width) return values;
  const rows = values.length / columns, out = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) out.set(values.subarray(row * columns, (row + 1) * columns), row * width);
  return out;
}

/** The first columns of rows of `columns` numbers. */
export function cut(values, columns, width) {
  if (columns === width) return values;
  const rows = values.length / columns, out = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) out.set(values.subarray(row * columns, row * columns + width), row * width);
  return out;
}
