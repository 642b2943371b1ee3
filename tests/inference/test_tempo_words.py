"""A tempo in figures is understood; anything else is left to the words."""

import pytest

from arctone.audio.keys import parse_bpm
from arctone.inference.request import Defaults, GenerationRequest
from arctone.inference.resolution import resolve

DEFAULTS = Defaults(duration_seconds=4, max_duration_seconds=12, steps=8, cfg_scale=2, sampler="euler")


@pytest.mark.parametrize(
    ("prompt", "bpm"),
    [
        ("funky drum loop, 120 BPM", 120),
        ("Loop at 92.5bpm", 92.5),
        ("a 174-bpm breakbeat", 174),
        ("house, 124 beats per minute, dry", 124),
        ("120 BPM drums over a 120 bpm bass", 120),
        ("90 bpm then 120 bpm", None),
        ("808 drums", None),
        ("7 bpm", None),
        ("999 BPM noise", None),
        ("1120 BPM", None),
        ("abpm 120", None),
        ("", None),
    ],
)
def test_tempo_of_a_prompt(prompt: str, bpm: float | None) -> None:
    assert parse_bpm(prompt, 20, 400) == bpm


def test_the_request_carries_the_tempo_of_its_prompt() -> None:
    assert resolve(GenerationRequest(prompt="drums, 140 BPM"), DEFAULTS).bpm == 140
    assert resolve(GenerationRequest(prompt="drums"), DEFAULTS).bpm is None


def test_a_given_tempo_wins_over_the_prompt() -> None:
    assert resolve(GenerationRequest(prompt="drums, 140 BPM", bpm=70), DEFAULTS).bpm == 70
