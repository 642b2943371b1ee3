"""The edge runner: the samples of `arctone generate`, without its packages, in little memory, one sentence if not."""

import json
import mmap
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from arctone.audio.files import write_audio
from arctone.audio.waveform import Waveform
from arctone.cli.main import run as arctone
from arctone.edge.__main__ import encode_wav, main
from arctone.edge.runner import AnonymousPeak, memory
from arctone.inference.backends.litert import LiteRTBackend
from arctone.inference.loading import load

FORBIDDEN = ("torch", "soundfile", "soxr", "rich", "typer", "scipy", "safetensors", "huggingface_hub")
PROGRAM = """
import json, sys
forbidden = json.loads(sys.argv[1])

class Door:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in forbidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Door())
from arctone.edge.__main__ import main
sys.exit(main(sys.argv[2:]))
"""


def on_the_edge(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, json.dumps(FORBIDDEN), *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("flags", [[], ["--low-ram", "--cache", "cache"]])
def test_samples_are_those_of_generate_without_its_packages(
    flags: list[str], tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = ["-d", "1.5", "-s", "7", "--steps", "3", "--sampler", "ping_pong", "--normalize", "loudness", "--bpm", "90"]
    done = on_the_edge(tiny_model_folder, "rain", "-o", "edge.wav", *same, *flags, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    assert arctone(["generate", "rain", "-o", "full.wav", "-m", str(tiny_model_folder), *same, "-q"]) == 0
    edge, full = (soundfile.read(name, dtype="int16") for name in ("edge.wav", "full.wav"))
    assert edge[1] == full[1] == 44_100
    assert np.abs(edge[0]).max() > 100
    assert np.array_equal(edge[0], full[0])


def test_the_report_says_what_it_took(tiny_model_folder: Path, tmp_path: Path) -> None:
    words = ["rain", "-o", "x.wav", "-s", "7", "-d", "1", "--low-ram", "--cache", "cache", "--report"]
    done = on_the_edge(tiny_model_folder, *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["seeds"] == [7]
    assert report["audio_seconds"] == 1.0
    assert {"opening", "text", "sampling", "decoding", "total"} <= report["timings_ms"].keys()
    used = report["memory_mb"]
    assert used["peak"] >= used["resident"] >= used["anonymous"] > 5
    assert report["folder_mb"]["all"] == pytest.approx(
        sum(path.stat().st_size for path in tiny_model_folder.iterdir()) / 1e6, abs=0.01
    )
    packed = sum(path.stat().st_size for path in (tmp_path / "cache").iterdir()) / 1e6
    assert report["cache_mb"] == pytest.approx(packed, abs=0.01)
    assert packed > 0


def test_low_ram_has_one_graph_open_at_a_time(tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most: dict[bool, int] = {True: 0, False: 0}
    graph = LiteRTBackend._graph

    def counting(parts: LiteRTBackend, file: str) -> object:
        opened = graph(parts, file)
        most[parts._low_ram] = max(most[parts._low_ram], len(parts._graphs))
        return opened

    monkeypatch.setattr(LiteRTBackend, "_graph", counting)
    sounds = [
        load(tiny_model_folder, "native", low_ram=low_ram).generate("rain", seed=3, duration_seconds=1)
        for low_ram in (True, False)
    ]
    assert most == {True: 1, False: 3}
    assert np.array_equal(sounds[0].waveforms[0].samples, sounds[1].waveforms[0].samples)


@pytest.mark.skipif(not memory(), reason="the kernel does not say how much memory a process had")
def test_spark_stays_within_200_megabytes(tmp_path: Path) -> None:
    words = ["spark", "rain", "-o", "x.wav", "-s", "7", "-d", "11.89", "--steps", "2", "--threads", "2"]
    done = on_the_edge(*words, "--low-ram", "--cache", "cache", "--report", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 50 < json.loads(done.stdout)["memory_mb"]["peak"] <= 200


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["MODEL", "rain", "-o", "x.flac"], 2, "x.flac"),
        (["MODEL", "rain", "--steps", "0"], 2, "steps must be"),
        (["MODEL", "rain", "--steps", "many"], 2, "many"),
        (["MODEL", "rain", "--stepps", "3"], 2, "--stepps"),
        (["MODEL"], 2, "prompt"),
        (["MODEL", "rain", "-o", "there.wav"], 2, "already exists"),
        (["nowhere", "rain"], 4, "nowhere"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str],
    code: int,
    said: str,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.wav").write_bytes(b"mine")
    assert main([str(tiny_model_folder) if word == "MODEL" else word for word in words]) == code
    sentence = capsys.readouterr().err
    assert said in sentence
    assert sentence.startswith("error: ")
    assert sentence.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there.wav"]
    assert (tmp_path / "there.wav").read_bytes() == b"mine"


def test_wav_samples_are_those_of_libsndfile(tmp_path: Path) -> None:
    values = np.array([[0.0, 0.5, -0.5, 1.0, -1.0, 1.7, 1e-5, 0.3], [0.1, -2.0, 0.7, 0.0, 0.2, 0.9999, 0.0, 3e-5]])
    waveform = Waveform(values.astype(np.float32), 44_100)
    (tmp_path / "edge.wav").write_bytes(encode_wav(waveform))
    write_audio(tmp_path / "full.wav", waveform)
    edge, full = (soundfile.read(tmp_path / name, dtype="int16")[0] for name in ("edge.wav", "full.wav"))
    assert edge[:4, 0].tolist() == [0, 16_384, -16_384, 32_767]
    assert np.array_equal(edge, full)


def test_memory_is_read_from_the_kernel_in_megabytes(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tx\nVmHWM:\t  2000 kB\nVmRSS:\t  1000 kB\nRssAnon:\t 600 kB\nRssFile:\t 400 kB\n")
    assert memory(status) == {"peak": 2.0, "resident": 1.0, "anonymous": 0.6, "mapped_files": 0.4}
    assert memory(tmp_path / "none") == {}


@pytest.mark.skipif(not memory(), reason="the kernel does not say how much memory a process has")
def test_memory_that_is_gone_again_counts_for_the_peak() -> None:
    before = memory()["anonymous"]
    # Pages of its own: the heap of a long process may have room for a block that counts already.
    pages = mmap.mmap(-1, 64_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with AnonymousPeak() as peak, pages:
        for start in range(0, len(pages), mmap.PAGESIZE):
            pages[start] = 1
        time.sleep(0.05)
    assert 60 < peak.megabytes - before < 90
    assert memory()["anonymous"] - before < 30
