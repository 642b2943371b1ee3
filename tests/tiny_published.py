"""Published models of a few thousand random weights: as torch weights, and the small one as graphs."""

from pathlib import Path

from arctone.checkpoints.published.convert import convert
from arctone.export.stable_audio import build_published
from tests.checkpoints.published_folders import published_folder, t5_folder

# One of each way of conditioning: a token before the frames; variance-preserving with a narrow context.
KINDS = ("small", "1.0")


def build_tiny_published(folder: Path) -> Path:
    """A folder with one of torch weights for each kind, small-float32 with an encoder, and small-int8 without."""
    text, out = t5_folder(folder / "t5-base"), folder / "published"
    for kind in KINDS:
        convert(published_folder(kind, folder / "as-published" / kind), out / kind, text, name=kind)
    for precision in ("float32", "int8"):
        build_published(out / "small", out / f"small-{precision}", precision=precision, encoder=precision == "float32")
    return out
