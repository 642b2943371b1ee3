"""The models of a reproduction: how each is trained, and how it is opened for listening.

All share one folder of parts that are not trained here: autoencoder, text encoder and tokenizer of a given model.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec

from arctone.checkpoints.copying import copy_autoencoder, copy_text
from arctone.checkpoints.folder import DIT, flow_part, load_autoencoder, load_config, load_dit, load_state, save_part
from arctone.checkpoints.text import find_text_folder, load_text_encoder
from arctone.inference.backends.torch import TorchBackend
from arctone.inference.engine import Engine, Model
from arctone.model_folder.config import ModelConfig, TextConfig, of_type
from arctone.model_folder.folder import file_hash
from arctone.model_folder.tokenizer import Tokenizer
from arctone.training.recipes import Recipe
from arctone.training.stages import ArcStage, DistillStage, FlowStage, Stage
from arctone.workflows.reproduce.ablations import ABLATIONS

TRAINED = ("flow", "arc", "dmd", "consistency", *ABLATIONS)
FLOW = "flow"


def prepare(given: Path, folder: Path, recipe: Recipe, keep_flow: bool = False) -> Recipe:
    """Write the parts that are not trained into a new flow model's folder; returns the recipe of that model.

    Args: given: a model folder with an autoencoder; its sizes of latents and text replace the recipe's. keep_flow: its
    transformer is among these parts, and its sizes replace the recipe's; of a post-trained model it is the flow that it
    was made from. Raises: ModelError if it lacks a part; UsageError if the flow of a post-trained model is not there.
    """
    config = load_config(given).of_flow
    if keep_flow:
        part = flow_part(given)
        copy_autoencoder(given, folder, config)
        copy_text(given, folder)
        if not (folder / f"{DIT}.safetensors").exists():
            save_part(folder, DIT, load_state(given, part), config)
        return dataclasses.replace(recipe, model=config)
    fixed = {name: getattr(config.dit, name) for name in ("latent_channels", "text_width", "max_frames", "max_seconds")}
    model = msgspec.structs.replace(
        config,
        name="reproduction",
        dit=msgspec.structs.replace(recipe.model.dit, **fixed),
        sampling=msgspec.structs.replace(config.sampling, cfg_scale=recipe.model.sampling.cfg_scale),
    )
    copy_autoencoder(given, folder, model)
    copy_text(given, folder)
    return dataclasses.replace(recipe, model=model)


def stage_of(name: str, recipe: Recipe, root: Path, latents: Path, minutes: float) -> Stage:
    """The stage that trains one of TRAINED, limited to some minutes; its folder is root / name."""
    out, init = root / name, root / FLOW
    if name == FLOW:
        return FlowStage(_limited(recipe, "flow_loop", minutes), latents, out)
    if name in ("dmd", "consistency"):
        return DistillStage(_limited(recipe, f"{name}_loop", minutes), latents, out, init, name)
    settings = ABLATIONS[name].applied() if name in ABLATIONS else recipe.arc
    return ArcStage(_limited(dataclasses.replace(recipe, arc=settings), "arc_loop", minutes), latents, out, init)


def open_model(stage: str, root: Path) -> Model:
    """A trained model on torch, as arctone.load gives it. Raises: ModelError if a part is missing."""
    folder = root / stage
    config: ModelConfig = load_config(folder)
    text = load_text_encoder(find_text_folder(root / FLOW), of_type(config.text, TextConfig))
    parts = TorchBackend.of(config, text, load_dit(folder), load_autoencoder(folder))
    tokenizer = Tokenizer(root / FLOW, config.text.max_tokens)
    return Model(Engine(parts, config, tokenizer, file_hash(folder / "dit.safetensors")), folder)


def _limited(recipe: Recipe, loop: str, minutes: float) -> Recipe:
    limited = dataclasses.replace(getattr(recipe, loop), max_minutes=minutes)
    changes: dict[str, object] = {loop: limited}
    return dataclasses.replace(recipe, **changes)  # type: ignore[arg-type]
