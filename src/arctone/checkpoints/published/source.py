"""Published files as they lie on the hub: find the weights and the config, read one state from them.

A checkpoint is a folder, or the path of its weights file. A folder of stable-audio-open-small holds two: the
post-trained model (`model.*`) and its base (`base_model.*`), each with a config of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from torch import Tensor

from arctone.checkpoints.published.tensor_names import CONDITIONER, Table, list_expected_shapes, row_lengths
from arctone.errors import ModelError, UsageError
from arctone.files.text import parse_json, read_bytes

MODEL_CONFIG: Final = "model_config.json"
INDEX: Final = ".index.json"
SAFETENSORS: Final = ".safetensors"
# In this order of preference: tensors alone before files that are unpickled.
ENDINGS: Final = (SAFETENSORS, f"{SAFETENSORS}{INDEX}", ".ckpt", ".pt", ".bin", f".bin{INDEX}")
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.")
_LICENCES = re.compile(
    r"(?i)(licen[cs]e|notice)[^/]*"
    # Terms and policies under any name, as texts.
    r"|[^/]*(licen[cs]e|notice|copying|copyright|terms|eula|acceptable|policy)[^/.]*(\.(md|txt|rst|pdf|html))?"
)
_CARDS = ("README.md", "card.md")
TEXT_FOLDERS: Final = ("text_encoder", "tokenizer")


class Source(NamedTuple):
    """Where a checkpoint lies.

    weights: a file, or the folder in the layout of diffusers. config: None in the layout of diffusers.
    """

    folder: Path
    weights: Path
    config: Path | None


def find_source(place: Path, *, base: bool = False, config: Path | None = None) -> Source:
    """This function finds the config and the weights of a checkpoint.

    Args:
        place: A folder, or a weights file.
        base: Whether the base model that lies in the same folder is meant.
        config: The config, where it is not named after the weights.

    Returns:
        Config, weights and folder.

    Raises:
        ModelError: There is no checkpoint, or a folder holds several.
        UsageError: `base` is given with a file.
    """
    if place.is_file():
        if base:
            raise UsageError(f"--base names a file of a folder, but {place} is a file; leave --base out.", field="base")
        return Source(place.parent, place, config or _find_config(place))
    stem = "base_model" if base else "model"
    found = config or place / f"{stem}_config.json"
    if found.is_file():
        return Source(place, _weights(place, stem, other_names=not base), found)
    if not base and (place / "model_index.json").is_file():
        return Source(place, place, None)
    missing = f"{stem}_config.json" if base else f"{MODEL_CONFIG} nor model_index.json"
    raise ModelError(f"{place} is no published model: {'no' if base else 'neither'} {missing} is there.")


def _find_config(weights: Path) -> Path:
    stem = _SHARD.sub(".", weights.name).removesuffix(INDEX).rpartition(".")[0]
    for name in (f"{stem}_config.json", f"{stem}.json", MODEL_CONFIG):
        if (weights.parent / name).is_file():
            return weights.parent / name
    raise ModelError(
        f"next to {weights} there is neither {stem}_config.json nor {MODEL_CONFIG}; name it with --config."
    )


def _weights(folder: Path, stem: str, *, other_names: bool) -> Path:
    named = find_weights(folder, stem)
    if named is not None:
        return named
    # Other names are taken where there is no doubt; those of the other checkpoint of the folder are not.
    others = [path for path in weights_files(folder) if other_names and not path.name.startswith("base_model.")]
    if len(others) == 1:
        return others[0]
    if others:
        names = ", ".join(path.name for path in others)
        raise ModelError(f"{folder} holds several weights files ({names}); give the path of one instead of the folder.")
    raise ModelError(f"{folder} has a {stem}_config.json, but neither {stem}.safetensors nor {stem}.ckpt.")


def find_weights(folder: Path, *stems: str) -> Path | None:
    """This function finds the weights file of one of the names, or the index of its shards."""
    return next((folder / (stem + end) for stem in stems for end in ENDINGS if (folder / (stem + end)).is_file()), None)


def weights_files(folder: Path) -> list[Path]:
    """This function lists the weights files of a folder; shards count once, by their index."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.name.endswith(ENDINGS) and not _SHARD.search(path.name)
    )


def is_licence_or_card(name: str) -> bool:
    """Whether a file is a text that belongs to the weights: licence, notice, policy or card."""
    return bool(_LICENCES.fullmatch(name)) or name in _CARDS


def licence_files(folder: Path) -> list[Path]:
    """This function lists the licence files and cards of a folder."""
    return sorted(path for path in folder.iterdir() if path.is_file() and is_licence_or_card(path.name))


def find_text_folder(folder: Path, config: Path | None = None) -> Path | None:
    """This function finds the text encoder that lies in a checkpoint's folder.

    Args:
        folder: Of the checkpoint.
        config: Its model_config.json, which may name a subfolder (`subfolder` of a condition).

    Returns:
        The folder of the text encoder; None if there is none.
    """
    names = [*_subfolders(config or folder / MODEL_CONFIG), TEXT_FOLDERS[0]]
    return next((folder / name for name in names if (folder / name / "config.json").is_file()), None)


def _subfolders(config: Path) -> Iterable[str]:
    try:
        conditions = parse_json(read_bytes(config, error=ModelError))["model"]["conditioning"]["configs"]
        names = [each.get("config", {}).get("subfolder") for each in conditions]
    except (ModelError, ValueError, KeyError, TypeError, AttributeError):
        return []  # what is wrong with it is said where it is read
    return [
        name for name in names if isinstance(name, str) and name and not Path(name).is_absolute() and ".." not in name
    ]


LIGHTNING = "diffusion."
AVERAGE = "diffusion_ema.ema_model."
# The average is of the network alone, whose names begin so in the model.
_NETWORK = "model."
TEXT = f"{CONDITIONER}prompt.model."
# Both forms of weight norm: torch's newer names, and those that are published.
_NORMS = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}


class Tensors(NamedTuple):
    """state: by published name. text: of a text encoder in the same file, by its own names; often empty."""

    state: dict[str, Tensor]
    text: dict[str, Tensor]


def unwrapped(state: Mapping[str, Tensor], origin: str, *, ema: bool = False) -> dict[str, Tensor]:
    """This function removes what a training program lays around a model.

    Args:
        state: All tensors of the file.
        origin: The file, for errors.
        ema: Whether the moving average of the network's weights is taken instead of the weights themselves.

    Returns:
        The model's tensors; optimiser, losses and discriminator of a training checkpoint are left out.

    Raises:
        ModelError: The average is wanted and not there.
    """
    inner = {name.removeprefix(LIGHTNING): value for name, value in state.items() if name.startswith(LIGHTNING)}
    found = inner or dict(state)
    if not ema:
        return found
    average = {
        _NETWORK + name.removeprefix(AVERAGE): value for name, value in state.items() if name.startswith(AVERAGE)
    }
    if not average:
        raise ModelError(f"{origin} holds no moving average of the weights ({AVERAGE}...); leave --ema out.")
    return {**found, **average}


def has_average(state: Mapping[str, Tensor]) -> bool:
    """Whether a training checkpoint also holds the moving average of its weights."""
    return any(name.startswith(AVERAGE) for name in state)


def named_as_published(state: Mapping[str, Tensor], names: Table, *, is_third: bool = False) -> Tensors:
    """This function brings the tensors of a model to the names and forms of `names`.

    Args:
        state: A model's tensors.
        names: What the model needs.
        is_third: Whether names may have one part too many, as the public loader of Stable Audio 3 reads them.

    Returns:
        Tensors by published name.
    """
    text = {name.removeprefix(TEXT): value for name, value in state.items() if name.startswith(TEXT)}
    rest = {_in_old_form(name): value for name, value in state.items() if not name.startswith(TEXT)}
    wanted = list_expected_shapes(names)
    if is_third:
        rest = _shortened(rest, wanted)
    return Tensors(_completed(_unfolded(rest, names), names), text)


def _in_old_form(name: str) -> str:
    for new, old in _NORMS.items():
        if name.endswith(new):
            return name.removesuffix(new) + old
    return name


def _unfolded(state: dict[str, Tensor], names: Table) -> dict[str, Tensor]:
    """Weights without weight norm get one that changes nothing."""
    found = dict(state)
    for places in names.tensors.values():
        for place in places.values():
            whole = found.get(place.name) if place.normed else None
            if whole is not None and f"{place.name}_v" not in found and whole.ndim == len(place.shape):
                del found[place.name]
                found[f"{place.name}_g"], found[f"{place.name}_v"] = row_lengths(whole), whole
    return found


def _completed(state: dict[str, Tensor], names: Table) -> dict[str, Tensor]:
    """Constant buffers follow from the sizes, so a file may leave them out."""
    return {**{name: value for name, value in names.constants.items() if name not in state}, **state}


def _shortened(state: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Names with one part too many, because a part has one more module around it, are brought to those wanted."""
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        words = name.split(".")
        shorter = (".".join(words[:index] + words[index + 1 :]) for index in range(1, len(words)))
        settled = name if name in wanted else next((each for each in shorter if each in wanted), name)
        found[name if settled in state else settled] = value
    return found
