"""The studio page next to the engine for browsers: the files of a folder that any static host serves, and that works
without a network after the first visit.

The page is the one that `arctone serve` serves. Its `data-engine` says that the engine lies in the folder itself; a
service worker keeps all files of the studio and of the engine, and leaves the model's to the engine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

from arctone.errors import ModelError

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self' blob:; worker-src 'self' blob:; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
# What only the server's pages use.
_OF_THE_SERVER = ("docs.html", "docs.css", "js/docs.js", "js/server_engine.js")
# A browser fetches one of the two builds, and the service worker keeps that one then.
_KEPT_WHEN_FETCHED = (".wasm", ".wasm.gz")
_HEAD = f"""<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">
<meta name="theme-color" content="#15181c">
<link rel="manifest" href="manifest.webmanifest">
<link rel="apple-touch-icon" href="static/offline/icon-512.png">
"""


def studio_files(others: Mapping[str, bytes]) -> dict[str, bytes]:
    """This function collects the files of the studio for a folder that already holds the engine.

    Args:
        others: Content of every other file that the page needs without a network, by its path in the folder: the
            engine's scripts, its runtime and `model/web.json`.

    Returns:
        Content by path: `index.html`, `sw.js`, `manifest.webmanifest` and everything below `static/`.

    Raises:
        ModelError: If the page of this installation is incomplete.
    """
    web = files("arctone").joinpath("serving", "http", "web")
    found = {path: data for path, data in _walk(web) if path not in _OF_THE_SERVER}
    try:
        page, worker = found.pop("index.html").decode(), found.pop("offline/sw.js").decode()
        manifest = found.pop("offline/manifest.webmanifest")
    except KeyError as missing:
        raise ModelError(
            f"the studio page of this installation lacks {missing.args[0]}; install arctone again."
        ) from None
    static = {f"static/{path}": data for path, data in found.items()}
    studio = {"index.html": _in_page(page), "manifest.webmanifest": manifest, **static}
    return {**studio, "sw.js": _service_worker(worker, {**others, **studio})}


def _walk(folder: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        else:
            found.append((prefix + entry.name, entry.read_bytes()))
    return found


def _in_page(page: str) -> bytes:
    """Return the page with its engine in the folder, a policy for browsers, and what makes it installable."""
    text = _replaced(page, 'data-engine="server"', 'data-engine="page"')
    return _replaced(text, '<meta charset="utf-8">\n', f'<meta charset="utf-8">\n{_HEAD}').encode()


def _service_worker(worker: str, kept: Mapping[str, bytes]) -> bytes:
    """Return the service worker with the list of files to keep, and a version that changes with any of them."""
    digest = hashlib.sha256()
    for path, data in sorted(kept.items()):
        digest.update(f"{path}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    paths = [path for path in sorted(kept) if not path.endswith(_KEPT_WHEN_FETCHED)]
    text = _replaced(worker, 'const VERSION = "";', f'const VERSION = "{digest.hexdigest()[:16]}";')
    return _replaced(text, "const FILES = [];", f"const FILES = {json.dumps(paths, indent=2)};").encode()


def _replaced(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise ModelError(f"the studio page of this installation lacks '{old.strip()}'; install arctone again.")
    return text.replace(old, new)
