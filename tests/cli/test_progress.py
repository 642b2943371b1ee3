"""The bar: shown to people only, and true to the events."""

import io
import sys

import numpy as np
import pytest

from arctone.audio.waveform import Waveform
from arctone.cli.output import finished
from arctone.inference.request import GenerationRequest, GenerationResult, Progress

RESULT = GenerationResult(
    waveforms=(Waveform(np.zeros((2, 4), np.float32), 44100),),
    seeds=(0,),
    request=GenerationRequest(prompt="x", seed=0),
    model_name="m",
    model_hash="",
    version="",
    engine="native",
    timings_ms={},
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def events():
    yield Progress("text", 0, 0, 1)
    for item in range(2):
        for step in range(5):
            yield Progress("sampling", item, step, 4)
        yield Progress("decoding", item, 1, 1)
    yield RESULT


def test_a_terminal_sees_stage_sound_and_steps(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert finished(events(), 2, quiet=False) is RESULT
    shown = terminal.getvalue()
    assert "sound 2 of 2" in shown


@pytest.mark.parametrize(("stream", "quiet"), [(io.StringIO, False), (Terminal, True)])
def test_files_and_quiet_runs_see_nothing(monkeypatch, stream, quiet):
    silent = stream()
    monkeypatch.setattr(sys, "stderr", silent)
    assert finished(events(), 2, quiet=quiet) is RESULT
    assert silent.getvalue() == ""


def test_a_stream_without_a_result_is_an_error():
    with pytest.raises(RuntimeError, match="without a result"):
        finished(iter([Progress("text", 0, 0, 1)]), 1, quiet=True)
