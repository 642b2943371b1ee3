"""A model folder of the published sizes with random weights, to measure time and memory where no weights can be had.

    PYTHONPATH=src:. python -m benchmarks.random_sao small sao-random/ --precision bfloat16

It makes noise, in the time and the memory that the published weights need.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from arctone.checkpoints.published.convert import MODEL_CONFIG, PRECISIONS, WEIGHTS, convert
from arctone.checkpoints.published.stable_audio_open import read_published
from arctone.checkpoints.published.t5 import places, t5_config
from arctone.checkpoints.published.tensor_names import list_expected_shapes, table
from benchmarks.parity.shapes import KINDS, T5_BASE, drawn, model_config


def write_published(kind: str, folder: Path) -> None:
    """The checkpoint in the published layout."""
    folder.mkdir(parents=True)
    (folder / MODEL_CONFIG).write_text(json.dumps(model_config(kind), indent=2))
    names = table(read_published(folder / MODEL_CONFIG, kind))
    shapes = {name: shape for name, shape in list_expected_shapes(names).items() if name not in names.constants}
    random = {name: torch.from_numpy(drawn(name, shape)) for name, shape in shapes.items()}
    save_file({**names.constants, **random}, folder / WEIGHTS)


def write_t5(folder: Path) -> None:
    """A T5 of the size of t5-base, with a tokenizer of single letters."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "t5", **T5_BASE}))
    wanted = places(t5_config(folder, 64)).values()
    save_file({p.name: torch.from_numpy(drawn(p.name, p.shape)) for p in wanted}, folder / WEIGHTS)
    letters = [(letter, -3.0) for letter in "▁abcdefghijklmnopqrstuvwxyz0123456789,.-'"]
    tokenizer = Tokenizer(models.Unigram([("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("out", type=Path)
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.out.parent) as root:
        source, text = Path(root) / given.kind, Path(root) / "t5-base"
        write_published(given.kind, source)
        write_t5(text)
        convert(source, given.out, text, name=f"random-{given.kind}", precision=given.precision, force=True)
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
