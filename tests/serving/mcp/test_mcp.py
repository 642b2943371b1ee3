"""The official client drives `arctone mcp`: in this process, and as a program over standard input and output."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import arctone
from arctone.audio.files import encode_audio
from arctone.inference.engine import Model
from arctone.serving.http.formats import Limits
from arctone.serving.mcp import build_server

QUICK = {"prompt": "rain", "duration_seconds": 0.5, "steps": 1, "cfg_scale": 1}


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> Iterator[Model]:
    loaded = arctone.load(tiny_model_folder, threads=1)
    yield loaded
    loaded.close()


@pytest.fixture
def call(model: Model, tmp_path: Path) -> Callable[..., Any]:
    """Call a tool: call("generate_sound", prompt="rain")."""
    server = build_server({"tiny": model.engine}, tmp_path / "sounds", Limits(max_duration_seconds=20))

    def run(name: str, **arguments: Any) -> Any:
        async def within() -> Any:
            from mcp import Client

            async with Client(server) as client:
                return await client.call_tool(name, arguments)

        return asyncio.run(within())

    return run


def test_generate_writes_the_file_that_the_engine_makes(call: Callable[..., Any], model: Model, tmp_path: Path) -> None:
    answer = call("generate_sound", **QUICK, seed=7, variations=2).structured_content
    assert [(Path(file["path"]).name, file["seed"]) for file in answer["files"]] == [
        ("rain-7.wav", 7),
        ("rain-8.wav", 8),
    ]
    direct = model.generate(**QUICK, seed=7, variations=2)
    for item, file in enumerate(answer["files"]):
        assert Path(file["path"]).is_relative_to(tmp_path / "sounds")
        expected = encode_audio(direct.waveforms[item], metadata=direct.to_metadata(item))
        assert Path(file["path"]).read_bytes() == expected
    listed = call("list_sounds").structured_content["result"]
    assert sorted((one["prompt"], one["seed"]) for one in listed) == [("rain", 7), ("rain", 8)]


def test_the_same_request_again_is_another_file(call: Callable[..., Any]) -> None:
    names = [
        Path(call("generate_sound", **QUICK, seed=7).structured_content["files"][0]["path"]).name for _ in range(2)
    ]
    assert names == ["rain-7.wav", "rain-7-2.wav"]


def test_edit_keeps_what_it_is_not_to_change(call: Callable[..., Any], tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    soundfile.write(tmp_path / "tone.wav", np.stack([tone, tone], axis=1), 44_100)
    answer = call(
        "edit_sound", path=str(tmp_path / "tone.wav"), prompt="rain", mode="remake", regions=["0.4:0.6"], seed=1
    )
    given, _ = soundfile.read(tmp_path / "tone.wav")
    made, _ = soundfile.read(answer.structured_content["files"][0]["path"])
    differs = np.flatnonzero(np.abs(made - given).max(axis=1) > 2 / 2**15)
    assert differs.min() >= round(0.4 * 44_100)
    assert differs.max() < round(0.6 * 44_100)
    longer = call("edit_sound", path=str(tmp_path / "tone.wav"), prompt="rain", mode="continue", duration_seconds=1.5)
    assert longer.structured_content["files"][0]["duration_seconds"] == 1.5


@pytest.mark.parametrize(
    ("tool", "change", "words"),
    [
        ("generate_sound", {"duration_seconds": 21}, "duration_seconds must be"),
        ("generate_sound", {"prompt": " "}, "prompt must say"),
        ("generate_sound", {"model": "other"}, "model must be one of tiny."),
        ("edit_sound", {"path": "/nowhere.wav"}, "/nowhere.wav does not exist."),
        ("edit_sound", {"path": "x.wav", "mode": "remake"}, "regions must hold"),
    ],
)
def test_what_cannot_be_met_is_refused_in_words(
    call: Callable[..., Any], tool: str, change: dict[str, Any], words: str
) -> None:
    base = QUICK if tool == "generate_sound" else {"prompt": "rain"}
    answer = call(tool, **{**base, **change})
    assert answer.is_error
    assert words in answer.content[0].text
    assert "Traceback" not in answer.content[0].text


def test_the_program_speaks_the_protocol_and_nothing_else_on_its_output(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    words = ["-m", "arctone", "mcp", "--model", str(tiny_model_folder), "--threads", "1", "-o", str(tmp_path / "out")]
    from mcp import Client, StdioServerParameters

    program = StdioServerParameters(command=sys.executable, args=words, env={"PYTHONPATH": ":".join(sys.path)})

    async def within() -> Any:
        async with Client(program) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            models = (await client.call_tool("list_models")).structured_content
            return tools, models, (await client.call_tool("generate_sound", QUICK)).structured_content

    tools, models, answer = asyncio.run(within())
    assert tools == {"generate_sound", "edit_sound", "list_sounds", "list_models"}
    assert [model["name"] for model in models["result"]] == ["tiny"]
    assert soundfile.info(answer["files"][0]["path"]).frames == 22_050
