"""An exported folder behind a plain file server, and a browser on it that runs scripts for tests."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Arrays of numbers travel as base64; `engine(name)` imports a module of the engine.
PRELUDE = """
const packed = (array) => {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let text = "";
  for (let n = 0; n < bytes.length; n += 32768) text += String.fromCharCode(...bytes.subarray(n, n + 32768));
  return { packed: btoa(text), kind: array.constructor.name };
};
const unpacked = (text, Kind = Float32Array) => new Kind(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const engine = (name) => import(new URL(`engine/${name}.js`, location.href));
const { load, describe, storedBytes, forget } = await import(new URL("arctone.js", location.href));
const models = (window.models ??= {});
const opened = (folder) => (models[folder] ??= load(folder, { storage: "none" }));
"""
# Generate a sound on the page's own thread from the request and the channels of a source, if there is one; gives the
# latents and the spectral parameters of each window's decoding.
DECODED = """
const { generate } = await engine("generate"), { Graph, loadRuntime } = await engine("graphs");
const { Synthesis } = await engine("synthesis"), { Tokenizer } = await engine("tokenizer");
const folder = given[2] ?? "model/";
const manifest = await (await fetch(`${folder}web.json`)).json(), { config } = manifest;
const litert = (window.litert ??= await loadRuntime(new URL("runtime/", location.href)));
const bytes = async (path) => new Uint8Array(await (await fetch(`${folder}${path}`)).arrayBuffer());
const graphs = {}, seen = [];
const graph = async (path) => {
  graphs[path] ??= await Graph.open(litert, path, await bytes(path));
  if (path !== "decoder.tflite") return graphs[path];
  const run = async (signature, inputs) => {
    const outputs = await graphs[path].run(signature, inputs);
    seen.push([packed(inputs.latents[0]), packed(Object.values(outputs)[0])]);
    return outputs;
  };
  return { window: (frames) => graphs[path].window(frames), run };
};
const tokenizer = new Tokenizer(await (await fetch(`${folder}tokenizer.json`)).json(), config.text.max_tokens);
const parts = { config, tokenizer, synthesis: new Synthesis(0), graph };
const { resolve } = await engine("request"), { description: about, record, features } = manifest;
const source = given[1]?.map((text) => unpacked(text)) ?? null;
const seconds = source && source[0].length / config.sample_rate;
const resolved = resolve(given[0], { ...about, config, request: record.request, features }, seconds);
await generate(parts, resolved, { source, pause: async () => {}, report: () => {} });
return seen;
"""
_KINDS = {"Float32Array": np.float32, "Float64Array": np.float64, "Int32Array": np.int32, "Uint8Array": np.uint8}


class StaticFiles:
    """A file server that sends no headers of its own; it counts requests and can be cut off.

    Args:
        folder: that it serves.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: list[str] = []
        self.is_cut = False
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.paths.append(self.path)
                if outer.is_cut:
                    self.close_connection = True
                    return
                super().do_GET()

            def end_headers(self) -> None:
                # Else the browser guesses from a file's age how long it need not ask, and asks nobody.
                self.send_header("Cache-Control", "no-cache")
                super().end_headers()

            def log_message(self, *_: object) -> None:
                pass

        handler = functools.partial(Handler, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class EnginePage:
    """A browser on the example page of an exported folder.

    Args:
        browser: a selenium driver.
        files: the server of the folder.
    """

    def __init__(self, browser: Any, files: StaticFiles) -> None:
        self.browser, self.files = browser, files

    def open(self, path: str = "example.html") -> None:
        """Open a page of the folder."""
        self.browser.get(self.files.address + path)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script, the body of an async function of `given` (the arguments); its arrays come back as numpy's.

        Raises:
            AssertionError: with the page's error.
        """
        body = (
            "const done = arguments[arguments.length - 1], given = JSON.parse(arguments[0]);"
            f"(async () => {{ {PRELUDE} {script} }})()"
            ".then((value) => done({ value }), (error) => done({ error: `${error.stack ?? error}` }));"
        )
        found = self.browser.execute_async_script(body, json.dumps(arguments))
        assert "error" not in found, found["error"]
        return _with_arrays(found["value"])

    def console(self) -> list[str]:
        """Return what the console has had to report since the last call."""
        return [entry["message"] for entry in self.browser.get_log("browser") if "favicon" not in entry["message"]]


def packed(array: NDArray[Any]) -> str:
    """Write an array as `unpacked` of the page reads it."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _with_arrays(value: Any) -> Any:
    if isinstance(value, dict) and "packed" in value:
        return np.frombuffer(base64.b64decode(value["packed"]), _KINDS[value["kind"]])
    if isinstance(value, dict):
        return {name: _with_arrays(one) for name, one in value.items()}
    return [_with_arrays(one) for one in value] if isinstance(value, list) else value
