"""Models by their hub name: from a server on this machine that speaks the hub's protocol, and from the cache."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from arctone.checkpoints.published.hub import _verify, chosen, find, is_hub_name
from arctone.errors import ModelError
from arctone.model_folder.folder import check_hashes

pytest.importorskip("huggingface_hub")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GATED = "stand-in/gated"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """Two models from folders, and one that is only given with a token."""

    models: dict[str, Path] = {}  # noqa: RUF012 - the handler is created for each request
    asked: list[str] = []  # noqa: RUF012
    # Files whose next answer breaks off in the middle, once for each mention; and the ranges that were asked for.
    breaks: list[str] = []  # noqa: RUF012
    ranges: list[tuple[str, int]] = []  # noqa: RUF012

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0].strip("/")
        self.asked.append(path)
        name = next((name for name in (*self.models, GATED) if name in path), "")
        if name == GATED and not self.headers.get("Authorization"):
            return self._send(401, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "restricted"}, with_body)
        if name not in self.models:
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, with_body)
        if path.startswith("api/models/"):
            files = sorted(self.models[name].iterdir())
            facts = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": _digest(f)} for f in files]
            about = {"id": name, "sha": COMMIT, "siblings": [{"rfilename": file.name} for file in files]}
            return self._send(200, json.dumps(facts if "/tree/" in path else about).encode(), {}, with_body)
        file = self.models[name] / path.rpartition("/")[2]
        headers, body = {"ETag": f'"{_digest(file)}"', "X-Repo-Commit": COMMIT}, file.read_bytes()
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if start:
            self.ranges.append((file.name, start))
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        breaks = with_body and file.name in self.breaks
        if breaks:
            self.breaks.remove(file.name)
        return self._send(206 if start else 200, body[start:], headers, with_body, breaks=breaks)

    def _send(self, code: int, body: bytes, headers: dict[str, str], with_body: bool, *, breaks: bool = False) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body[: len(body) // 2] if breaks else body)

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture
def hub(published: dict[str, Path], t5: Path) -> Iterator[str]:
    Hub.models = {"stand-in/small": published["small"], "stand-in/t5": t5}
    Hub.asked, Hub.breaks, Hub.ranges = [], [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


# Several command lines in one process; says their exit codes and what each wrote to standard error.
SEVERAL = """
import contextlib, io, json, sys
from arctone.cli.main import run

ended = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        code = run(words)
    ended.append([code, errors.getvalue()])
print(json.dumps(ended))
"""

# The hub's client goes on from a whole piece of its own size, 10 MB; these models are smaller.
IN_SMALL_PIECES = """
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = 65536
from arctone.cli.main import main
main()
"""


def arctone(
    folder: Path, endpoint: str, *words: str, program: Sequence[str] = ("-m", "arctone")
) -> subprocess.CompletedProcess[str]:
    """In a process of its own, because the hub's client reads its settings once."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hf"), "ARCTONE_MODELS": str(folder / "models")}
    environment = {**os.environ, **settings, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    environment |= {"PYTHONPATH": "src", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    environment.pop("HF_TOKEN", None)
    command = [sys.executable, *program, *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)


def test_pull_then_offline_then_by_name(hub: str, tmp_path: Path) -> None:
    places = ("--source", "stand-in/small", "--text", "stand-in/t5")
    done = arctone(tmp_path, hub, "models", "pull", "stable-audio-open-small", *places)
    assert done.returncode == 0, done.stderr
    assert "Stability AI Community License" in done.stdout
    assert (tmp_path / "models" / "stable-audio-open-small" / "dit.safetensors").is_file()
    # Everything is in the cache now: the same again without any server.
    nowhere = "http://127.0.0.1:9"
    again = arctone(tmp_path, nowhere, "models", "pull", "stable-audio-open-small", *places, "--offline", "--force")
    assert again.returncode == 0, again.stderr
    check_hashes(tmp_path / "models" / "stable-audio-open-small")


def test_a_download_that_breaks_off_goes_on_where_it_stopped(
    hub: str, published: dict[str, Path], tmp_path: Path
) -> None:
    weights = published["small"] / "model.safetensors"
    Hub.breaks = [weights.name, weights.name]
    places = ("--source", "stand-in/small", "--text", "stand-in/t5")
    pull = ("models", "pull", "stable-audio-open-small", *places)
    done = arctone(tmp_path, hub, *pull, program=("-c", IN_SMALL_PIECES))
    assert done.returncode == 0, done.stderr
    # Each answer but the last sends half of what is missing; whole pieces of it are not fetched again.
    first = weights.stat().st_size // 2 // 65536 * 65536
    second = first + (weights.stat().st_size - first) // 2 // 65536 * 65536
    assert Hub.ranges == [(weights.name, first), (weights.name, second)]
    check_hashes(tmp_path / "models" / "stable-audio-open-small")


def test_what_goes_wrong_is_one_sentence(hub: str, tmp_path: Path) -> None:
    cases = {
        ("stand-in/gated",): "accepted its licence",
        ("stand-in/nothing",): "no model stand-in/nothing",
        ("stand-in/small", "--offline"): "--offline",
    }
    commands = [["convert", *words[:1], str(tmp_path / "out"), *words[1:]] for words in cases]
    done = arctone(tmp_path, hub, json.dumps(commands), program=("-c", SEVERAL))
    assert done.returncode == 0, done.stderr
    for (code, errors), sentence in zip(json.loads(done.stdout), cases.values(), strict=True):
        assert code == 4, errors
        assert sentence in errors
        assert errors.count("\n") == 1, errors


def test_one_layout_and_one_set_of_weights_is_fetched() -> None:
    both = ["model.ckpt", "model.safetensors", "model_config.json", "LICENSE.md", "demo.wav", "vae/config.json"]
    assert chosen(both) == ["LICENSE.md", "model_config.json", "model.safetensors"]
    assert chosen(["model_config.json", "model.ckpt"]) == ["model_config.json", "model.ckpt"]
    layered = ["model_index.json", "vae/config.json", "vae/diffusion_pytorch_model.safetensors", "x/y/z.json"]
    assert chosen(layered) == layered[:3]
    t5 = ["config.json", "tokenizer.json", "pytorch_model.bin", "model.safetensors", "tf_model.h5"]
    assert chosen(t5) == ["config.json", "tokenizer.json", "model.safetensors"]


def test_shards_the_base_and_a_text_encoder_are_fetched_with_every_licence() -> None:
    small = ["LICENSE", "base_model.ckpt", "base_model_config.json", "model.ckpt", "model_config.json", "demo/x.mp3"]
    assert chosen(small, base=True) == ["LICENSE", "base_model_config.json", "base_model.ckpt"]
    assert chosen(small) == ["LICENSE", "model_config.json", "model.ckpt"]
    third = ["LICENSE.md", "LICENSE_GEMMA.md", "README.md", "model_config.json", "model.safetensors", "assets/a.png"]
    gemma = [f"t5gemma-b-b-ul2/{name}" for name in ("LICENSE", "config.json", "tokenizer.json", "model.safetensors")]
    taken = ["LICENSE.md", "LICENSE_GEMMA.md", "README.md", "model_config.json", "model.safetensors", *gemma]
    assert chosen([*third, *gemma, "t5gemma-b-b-ul2/spiece.model"]) == taken
    texts = [
        "COPYING",
        "Gemma_Terms_of_Use.md",
        "LICENSE-APACHE.v2",
        "PROHIBITED_USE_POLICY.txt",
        "Stability License.pdf",
    ]
    others = ["policy.safetensors", "terms.json", "notes.md", "policies/all.md"]
    assert chosen(["model_config.json", "model.ckpt", *texts, *others]) == [*texts, "model_config.json", "model.ckpt"]
    shards = ["model.safetensors.index.json", *(f"model-0000{n}-of-00002.safetensors" for n in (1, 2))]
    assert chosen(["model_config.json", *shards]) == ["model_config.json", *shards]


def test_a_damaged_download_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"other")
    digest = hashlib.sha256(b"whole").hexdigest()
    for lfs, size in ((SimpleNamespace(sha256=digest), 5), (None, 4)):
        file = SimpleNamespace(rfilename="model.safetensors", lfs=lfs, size=size)
        with pytest.raises(ModelError, match="is not the file that the hub states"):
            _verify(tmp_path, SimpleNamespace(siblings=[file]), ["model.safetensors"])
    file = SimpleNamespace(
        rfilename="model.safetensors", lfs=SimpleNamespace(sha256=hashlib.sha256(b"other").hexdigest())
    )
    _verify(tmp_path, SimpleNamespace(siblings=[file]), ["model.safetensors"])


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert find(str(tmp_path)) == tmp_path
    assert not is_hub_name(str(tmp_path))
    assert is_hub_name("owner/model")
    with pytest.raises(ModelError, match="neither a folder nor"):
        find("a/b/c")
