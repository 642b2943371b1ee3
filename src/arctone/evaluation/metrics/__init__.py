"""Measures of sound: how close two waveforms are, and whether a waveform is what was asked for.

Every module has the same order: what is evaluated, conventions, the list of measures, references, `validate`, the
measures, `evaluate` (names and numbers). They import numpy only; `aisfx` and the fitting of `probe` import torch when
called.
"""
