"""A captioned stereo corpus where every clip is a function of a seed and its number."""

from arctone.data.corpus.corpus import Corpus

__all__ = ["Corpus"]
