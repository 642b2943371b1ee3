"""Published models of a few thousand random weights: as torch weights, and the small one as graphs."""

from pathlib import Path

from arctone.checkpoints.published.convert import convert
from arctone.export.stable_audio import build_published
from tests.checkpoints.published_folders import published_folder, t5_folder

# One of each way of conditioning: a token before the frames; variance-preserving with a narrow context.
KINDS = ("small", "1.0")


def convert_tiny_published(folder: Path, out: Path) -> Path:
    """Write a folder of torch weights for each kind into `out`; takes a second."""
    text = t5_folder(folder / "t5-base")
    for kind in KINDS:
        convert(published_folder(kind, folder / "as-published" / kind), out / kind, text, name=kind)
    return out


def build_tiny_published(folder: Path) -> Path:
    """Export the small one as small-float32, with an encoder, and small-int8, without."""
    weights, out = convert_tiny_published(folder, folder / "weights") / "small", folder / "published"
    for precision in ("float32", "int8"):
        build_published(weights, out / f"small-{precision}", precision=precision, encoder=precision == "float32")
    return out
