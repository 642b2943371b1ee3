"""Converters print every pass they make; their exceptions still come through."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator

from arctone.inference.backends.litert_graph import quiet


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep all that is printed, logged or warned of inside off the terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _no_stderr():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    with contextlib.redirect_stderr(io.StringIO()), quiet():
        yield
