"""Keeps the autoencoder of a training that goes on: its averaged weights as int8 graphs, small enough to commit.

    python -m benchmarks.keep_autoencoder runs/next weights/spark-2

`arctone train autoencoder --init weights/spark-2` goes on from there, with new optimizer moments.
"""

import argparse
import json
from pathlib import Path

import torch

from arctone.checkpoints.folder import AUTOENCODER, fill
from arctone.checkpoints.weights_map import write_weights_map
from arctone.export.bundle import named_state, write_graph
from arctone.export.graphs import PARITY, decoder_signatures, encoder_signatures
from arctone.files.atomic import folder_atomically
from arctone.files.strict_json import write_config
from arctone.model_folder.config import SpectralConfig, of_type
from arctone.model_folder.folder import write_hashes
from arctone.models.spectral import SpectralAutoencoder
from arctone.training.recipes import recipe

# The graphs are storage: one short window is enough.
WINDOW = 16


def keep(training: Path, out: Path, recipe_name: str, force: bool = False) -> dict[str, dict[str, float]]:
    """Writes encoder and decoder of a training folder as int8 graphs with a weights map.

    Args:
        training: Folder with `last.ckpt`, as `arctone train autoencoder` leaves it.
        out: New folder; it appears whole or not at all.
        recipe_name: Recipe of the training; it gives the sizes.
        force: Whether a folder that is there is replaced.

    Returns:
        Megabytes and agreement with torch of each graph.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ModelError: If it does not fit the recipe.
    """
    path = training / "last.ckpt"
    if not path.is_file():
        raise FileNotFoundError(f"training: {training} has no last.ckpt")
    saved = torch.load(path, map_location="cpu", weights_only=True)
    config = recipe(recipe_name).model
    module = SpectralAutoencoder(of_type(config.autoencoder, SpectralConfig))
    fill(module, saved["ema"]["state"], str(path))
    module.eval()
    graphs = {
        "encoder": encoder_signatures(module.encoder, (WINDOW,)),
        "decoder": decoder_signatures(module.decoder, config, (WINDOW,)),
    }
    report: dict[str, dict[str, float]] = {}
    with folder_atomically(out, "model", force=force) as folder:
        write_config(folder / "config.json", config)
        for name, signatures in graphs.items():
            report[name] = write_graph(signatures, folder / f"{name}.tflite", int8=True)
        states = {f"{name}.tflite": named_state(f"{AUTOENCODER}.{name}", getattr(module, name)) for name in graphs}
        write_weights_map(folder, states)
        (folder / PARITY).write_text(json.dumps({"steps": saved["step"], **report}, indent=2) + "\n")
        write_hashes(folder)
    return report


def main() -> None:
    """Keeps one autoencoder and prints the agreement of its graphs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipe", default="spark-2")
    parser.add_argument("--force", action="store_true")
    options = parser.parse_args()
    print(json.dumps(keep(options.training, options.out, options.recipe, options.force), indent=2))


if __name__ == "__main__":
    main()
