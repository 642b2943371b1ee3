// A model's files: from the browser's storage or the network, each checked by its hash; a wrong one is fetched again.

import { ModelError } from "./errors.js";

export const CACHE = "arctone-models";

/** The files of one model. */
export class ModelFiles {
  /**
   * `base`: URL of the folder. `files`: [{ path, bytes, sha256 }]. `storage`: "cache" or "none". `signal`: stops downloads.
   * `onBytes(path, loaded, total)`: over all files that were asked for with `expect`.
   */
  constructor(base, files, { storage = "cache", signal, onBytes = () => {} } = {}) {
    this._base = base;
    this._files = new Map(files.map((file) => [file.path, file]));
    this._cache = storage === "cache" && globalThis.caches ? caches.open(CACHE).catch(() => null) : Promise.resolve(null);
    this._signal = signal;
    this._onBytes = onBytes;
    this._loaded = this._total = 0;
  }

  /** Whether the model has a file. */
  has(path) {
    return this._files.has(path);
  }

  /** Count the bytes of these files from now on. */
  expect(paths) {
    for (const path of paths) this._total += this._files.get(path).bytes;
  }

  /** The content of a file. Throws: ModelError if it cannot be had or is not what the manifest describes. */
  async read(path) {
    const file = this._files.get(path);
    return (await this._stored(file)) ?? this._fetched(file);
  }

  async _stored(file) {
    const cache = await this._cache;
    const response = await cache?.match(this._key(file)).catch(() => null);
    if (!response) return null;
    const content = new Uint8Array(await response.arrayBuffer());
    if (await isFile(content, file)) {
      this._count(file.path, file.bytes);
      return content;
    }
    await cache.delete(this._key(file));
    return null;
  }

  async _fetched(file) {
    for (const mode of ["default", "reload"]) {
      const content = await this._download(file, mode);
      if (content && (await isFile(content, file))) {
        await this._keep(file, content);
        return content;
      }
      this._count(file.path, -(content?.length ?? 0));
    }
    throw new ModelError(`${file.path} is not the file that web.json describes, although it was fetched twice.`);
  }

  /** The bytes of a file as the server sends them; null if there are more or fewer than there must be. */
  async _download(file, cache) {
    const response = await request(new URL(file.path, this._base), { cache, signal: this._signal });
    const content = new Uint8Array(file.bytes), reader = response.body.getReader();
    let length = 0;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (length + value.length > content.length) break;
        content.set(value, length);
        length += value.length;
        this._count(file.path, value.length);
      }
    } catch (failure) {
      if (this._signal?.aborted) throw failure;
      throw new ModelError(`The download of ${file.path} broke off.`, { status: 0 });
    }
    if (length === content.length) return content;
    reader.cancel().catch(() => {});
    this._count(file.path, -length);
    return null;
  }

  async _keep(file, content) {
    const cache = await this._cache;
    const headers = { "Content-Type": "application/octet-stream", "Content-Length": String(content.length) };
    // A full storage is no reason to stop: the file is fetched again next time.
    await cache?.put(this._key(file), new Response(content, { headers })).catch(() => {});
  }

  _count(path, bytes) {
    this._loaded += bytes;
    this._onBytes(path, this._loaded, this._total);
  }

  _key(file) {
    return keyOf(this._base, file);
  }
}

const keyOf = (base, file) => `${new URL(file.path, base)}?sha256=${file.sha256}`;

/** A good response. Throws: ModelError; what the signal says if it was aborted. */
export async function request(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (failure) {
    if (options.signal?.aborted) throw failure;
    throw new ModelError(`${url} cannot be fetched: there is no answer.`, { status: 0 });
  }
  if (response.ok) return response;
  throw new ModelError(`${url} cannot be fetched: the server answers ${response.status}.`, { status: response.status });
}

/** Bytes of these files that are in the browser's storage. */
export async function storedBytes(base, files) {
  if (!globalThis.caches) return 0;
  const cache = await caches.open(CACHE);
  const found = await Promise.all(files.map(async (file) => ((await cache.match(keyOf(base, file))) ? file.bytes : 0)));
  return found.reduce((sum, bytes) => sum + bytes, 0);
}

/** Remove what the browser's storage holds of a model, of other versions too. `base`: URL of its folder. */
export async function forget(base) {
  if (!globalThis.caches) return;
  const cache = await caches.open(CACHE);
  for (const { url } of await cache.keys()) if (url.startsWith(String(base))) await cache.delete(url);
}

/** Remove what the storage holds of other versions of a model's files. */
export async function forgetOthers(base, files) {
  if (!globalThis.caches) return;
  const cache = await caches.open(CACHE), wanted = new Set(files.map((file) => keyOf(base, file)));
  for (const { url } of await cache.keys()) if (url.startsWith(String(base)) && !wanted.has(url)) await cache.delete(url);
}

async function isFile(content, { bytes, sha256 }) {
  return content.length === bytes && (await sha256Of(content)) === sha256;
}

/** SHA-256 in hexadecimal digits. Pages without a secure context have no crypto.subtle. */
export async function sha256Of(content) {
  if (!globalThis.crypto?.subtle) return plainSha256(content);
  return hexadecimal(new Uint8Array(await crypto.subtle.digest("SHA-256", content)));
}

const hexadecimal = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** SHA-256 in plain JavaScript. Source: FIPS 180-4. */
export function plainSha256(content) {
  const primes = firstPrimes(64), fraction = (root) => Math.floor((root - Math.floor(root)) * 4294967296);
  const constants = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
  const state = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
  const whole = content.length - (content.length % 64), rest = new Uint8Array(content.length - whole < 56 ? 64 : 128);
  rest.set(content.subarray(whole));
  rest[content.length - whole] = 0x80;
  const ends = new DataView(rest.buffer);
  ends.setUint32(rest.length - 8, Math.floor(content.length / 536870912));
  ends.setUint32(rest.length - 4, content.length << 3);
  const words = new Int32Array(64);
  for (const [bytes, size] of [[content, whole], [rest, rest.length]]) {
    for (let at = 0; at < size; at += 64) compress(state, words, bytes, at, constants);
  }
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, n) => digest.setInt32(4 * n, word));
  return hexadecimal(new Uint8Array(digest.buffer));
}

function compress(state, words, bytes, at, constants) {
  const turn = (x, by) => (x >>> by) | (x << (32 - by));
  for (let n = 0; n < 16; n++) {
    const b = at + 4 * n;
    words[n] = (bytes[b] << 24) | (bytes[b + 1] << 16) | (bytes[b + 2] << 8) | bytes[b + 3];
  }
  for (let n = 16; n < 64; n++) {
    const x = words[n - 15], y = words[n - 2];
    words[n] = words[n - 16] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + words[n - 7] + (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10));
  }
  let a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
  for (let n = 0; n < 64; n++) {
    const first = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + constants[n] + words[n]) | 0;
    const second = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + first) | 0; d = c; c = b; b = a; a = (first + second) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((value, n) => (state[n] += value));
}

function firstPrimes(count) {
  const found = [];
  for (let number = 2; found.length < count; number++) if (found.every((prime) => number % prime)) found.push(number);
  return found;
}
