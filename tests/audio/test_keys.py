"""Keys and notes that prompts and files name."""

import pytest

from arctone.audio.keys import KEYS, TONICS, key_number, note_number, parse_note, parse_stated_key
from arctone.data.corpus import music


@pytest.mark.parametrize(
    ("prompt", "key"),
    [
        ("sad piano in C minor", "C minor"),
        ("sad piano in c minor", "C minor"),
        ("violin, G-flat major, slow", "F sharp major"),
        ("F# min techno loop", "F sharp minor"),
        ("Bb major fanfare", "B flat major"),
        ("an A minor melody", "A minor"),
        ("a melody in a minor, 90 BPM", "A minor"),
        ("A minor, 90 BPM", "A minor"),
        ("C sharp minor and then C\u266f minor again", "C sharp minor"),
        ("D\u266d maj pad", "C sharp major"),
        ("a minor accident on the road", None),
        ("a piano in a minor key", None),
        ("A major explosion", None),
        ("Rain. A minor tremor follows", None),
        ("from C major to A minor", None),
        ("major chords", None),
        ("guitar in E", None),
        ("a dog barking", None),
        ("BC minor hockey", None),
    ],
)
def test_the_key_of_a_prompt(prompt: str, key: str | None) -> None:
    assert parse_stated_key(prompt) == key


def test_every_key_of_the_corpus_has_its_number() -> None:
    assert music.TONICS == TONICS
    assert [key_number(name) for name in KEYS] == list(range(1, 25))
    assert key_number("H minor") == key_number("") == key_number("C minor, slow") == 0


@pytest.mark.parametrize(
    ("name", "midi"), [("C4", 60), ("A4", 69), ("C#4", 61), ("Bb3", 58), ("B-1", 11), ("C9", 0), ("x", 0)]
)
def test_notes_have_their_numbers(name: str, midi: int) -> None:
    assert note_number(name) == midi


@pytest.mark.parametrize(
    ("prompt", "midi"),
    [
        ("flute, single note, A5", 81),
        ("flute A5, then C4", 0),
        ("A4 paper torn", 0),
        ("MP3 player", 0),
        ("808 kick", 0),
    ],
)
def test_the_note_of_a_prompt(prompt: str, midi: int) -> None:
    assert parse_note(prompt) == midi
