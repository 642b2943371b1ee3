"""A corpus that needs no files: every sound is synthesised."""

from __future__ import annotations

from pathlib import Path

import pytest

from arctone.data.corpus import Corpus
from arctone.data.corpus.corpus import DEFAULT_SOUNDFONTS

FLUID_PATH = Path(DEFAULT_SOUNDFONTS[0])


@pytest.fixture(scope="session")
def synthetic() -> Corpus:
    """600 clips without soundfonts and recordings."""
    return Corpus(seed=3, size=600, soundfonts=(), sonic_pi=None)


@pytest.fixture(scope="session")
def with_fonts() -> Corpus:
    """600 clips with FluidR3, where it is installed."""
    if not FLUID_PATH.exists():
        pytest.skip(f"{FLUID_PATH} is not installed")
    pytest.importorskip("tinysoundfont")
    return Corpus(seed=3, size=600, soundfonts=DEFAULT_SOUNDFONTS[:1], sonic_pi=None)
