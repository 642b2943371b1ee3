"""arctone: text to audio in the blink of an eye, and the whole road to train it."""

from typing import TYPE_CHECKING, Any

from arctone.version import __version__

if TYPE_CHECKING:
    from arctone.inference.loading import load as load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `import arctone` and the help of the command line stay light.
    if name == "load":
        from arctone.inference.loading import load

        return load
    raise AttributeError(f"module 'arctone' has no attribute {name!r}")
