"""Captions name what sounds, differ from each other, and are English."""

from __future__ import annotations

import re

import numpy as np
import pytest

from arctone.data.corpus import Corpus
from arctone.data.corpus.captions import plain, write_captions
from arctone.data.corpus.drums import KITS
from arctone.data.corpus.effect_names import article, describe_effect, with_article
from arctone.data.corpus.instruments import instruments
from arctone.data.corpus.synonyms import GENRE_WORDS


def test_captions_always_name_the_instrument(with_fonts: Corpus) -> None:
    names = {i.name: (i.name, *i.aliases) for i in instruments()}
    seen = 0
    for k in range(300):
        info = with_fonts.info(k)
        if info.category in ("note", "phrase"):
            seen += 1
            options = [name.lower() for name in names[info.attributes["instrument"]]]
            for caption in info.captions:
                assert any(name in caption.lower() for name in options), caption
    assert seen > 80


def test_captions_of_drums_name_genre_or_kit(synthetic: Corpus) -> None:
    kits = {kit.name: (kit.name, *kit.aliases) for kit in KITS}
    for k in range(600):
        info = synthetic.info(k)
        if info.category == "drums":
            words = [*GENRE_WORDS[info.attributes["genre"]], *kits[info.attributes["kit"]]]
            assert all(any(word.lower() in c.lower() for word in words) for c in info.captions), info.captions


def test_tempo_stands_as_a_number_in_about_half_of_the_music_captions(synthetic: Corpus) -> None:
    infos = [info for k in range(600) if (info := synthetic.info(k)).category in ("drums", "music")]
    captions = [(caption, info.bpm) for info in infos for caption in info.captions]
    numbers = [(int(found[1]), bpm) for caption, bpm in captions if (found := re.search(r"(\d+) (?:BPM|bpm)", caption))]
    assert 0.3 < len(numbers) / len(captions) < 0.7
    assert all(number == bpm for number, bpm in numbers)


def test_key_in_a_caption_is_the_key_of_the_clip(synthetic: Corpus) -> None:
    found = 0
    for k in range(600):
        info = synthetic.info(k)
        for caption in info.captions:
            if key := re.search(r"\b([A-G](?: sharp| flat)? (?:major|minor))\b", caption):
                found += 1
                assert key[1] == info.key
    assert found > 100


def test_four_different_captions_a_clip(synthetic: Corpus) -> None:
    infos = [synthetic.info(k) for k in range(300)]
    assert all(info.caption == info.captions[0] and len(set(info.captions)) == 4 for info in infos)
    captions = [caption for info in infos for caption in info.captions]
    assert len(set(captions)) > 0.9 * len(captions)


def test_captions_are_clean(synthetic: Corpus) -> None:
    for k in range(600):
        for caption in synthetic.info(k).captions:
            assert not re.search(r"[\[\]{}@~]|  | ,|, *$|^\W|\b(\w+) \1\b", caption), caption
            assert not re.search(r"\b[Aa] (?!one\b)[aeio]", caption), caption
            assert not re.search(r"\b[Aa]n [bcdfgjkpqtvwyz]", caption), caption


def test_plural_nouns_take_no_article_and_plural_verbs() -> None:
    fields = {"instrument": ("steel drums",), "style": ("broken chords",)}
    captions = {c for seed in range(12) for c in write_captions("phrase", fields, False, np.random.default_rng(seed))}
    assert "Steel drums play broken chords." in captions
    assert not any(re.search(r"\ba (steel drums|broken chords)\b(?! broken)", c) for c in captions)


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [("8-bit coin", "an"), ("808 beat", "an"), ("ukulele", "a"), ("organ", "an"), ("FM bell", "an"), ("one-shot", "a"),
     ("old record", "an"), ("unison", "a"), ("dog", "a")],
)  # fmt: skip
def test_articles_follow_the_sound(phrase: str, expected: str) -> None:
    assert article(phrase) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("repo/kenney_impactsounds/Audio/impactWood_light_001.ogg", "a light wood impact"),
        ("repo/kenney_impactsounds/Audio/footstep_snow_003.ogg", "a footstep on snow"),
        ("repo/kenney_rpgaudio/Audio/doorOpen_2.ogg", "an opening door"),
        ("repo/Micro Pack - Cat Meows/Cat Meows - Food Time 11.wav", "a meowing cat"),
        ("repo/Micro Pack - MadameBerry - Stream Noises/Madameberry - Laugh.wav", None),
        ("repo/100-CC0-SFX/other_01.ogg", None),
    ],
)
def test_file_names_become_phrases(path: str, expected: str | None) -> None:
    assert describe_effect(path) == expected


def test_articles_come_and_go() -> None:
    assert with_article("glass impact") == "a glass impact"
    assert with_article("clattering dishes") == "clattering dishes"
    assert plain(("a dog barking", "the surf", "rain")) == ("dog barking", "surf", "rain")
