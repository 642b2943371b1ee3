"""A folder of static files in which a model generates sound inside a web page: for any static host, without a server.

The page's side is `arctone/web`: an ES module and its worker, which read `model/web.json`. That manifest is made here,
from the config and request fields that every other engine has, so that defaults, limits and sentences are the same.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from arctone.errors import ModelError
from arctone.export.web_studio import studio_files
from arctone.files.atomic import folder_atomically, refuse_folder
from arctone.inference.request import FIELDS, MAX_DURATION_SECONDS, GenerationRequest, to_metadata
from arctone.inference.request_fields import RequestField
from arctone.model_folder.config import DiTConfig, ModelConfig, SamplingConfig, SpectralConfig, TextConfig
from arctone.model_folder.folder import (
    ENCODER,
    FLOW,
    check_hashes,
    file_hash,
    find_model,
    folder_hash,
    list_needed_graphs,
    read_model_config,
)
from arctone.model_folder.tokenizer import FILE_NAME as TOKENIZER

SOURCES = Path(__file__).parent.parent / "web"
"""The JavaScript of the page's side, its runtime and the example page."""

MANIFEST, SCHEMA = "web.json", 1
ENGINE = "web"
"""Name of the page's engine in records."""
_LICENCES = ("card.md", "LICENSE", "licence", "NOTICE")
_KINDS = {str: "text", int: "integer", float: "number", bool: "boolean", tuple: "regions"}
# Fetched by the first request that needs them.
_ON_DEMAND = (ENCODER, FLOW)
# What the page's engine cannot do yet, and what it decides itself.
_LEFT_OUT = frozenset({"threads", "diverse", "near"})
_GUIDANCE = frozenset({"cfg_scale", "negative_prompt"})
# Fields that need the encoder, by the name of what they request among the capabilities.
_EDITS = {"init": "init_noise_level", "inpaint": "inpaint", "extend": "extend"}


@dataclass(frozen=True)
class WebModel:
    """A model as a page takes it.

    Args:
        folder: of the model.
        config: of the model.
        files: names of the files that the page may fetch.
    """

    folder: Path
    config: ModelConfig
    files: tuple[str, ...]

    @property
    def has_flow(self) -> bool:
        """Whether the flow model that a post-trained one was made from is among the files."""
        return FLOW in self.files

    @property
    def features(self) -> dict[str, bool]:
        """What the page may offer."""
        guidance = self.has_flow or not self.config.sampling.post_trained
        encodes = ENCODER in self.files
        return {"longSounds": True, "loop": encodes, "guidance": guidance, "edit": encodes}


def open_model(name_or_folder: str | Path, *, slim: bool = False) -> WebModel:
    """Open a model for a page.

    Args:
        name_or_folder: name of a bundled or fetched model, or a folder with graphs.
        slim: whether to leave out what only edits, guidance, loops and long sounds need.

    Returns:
        The model.

    Raises:
        ModelError: if it is unknown, altered, or of a kind that the page's engine does not run.
    """
    folder = find_model(name_or_folder)
    config = read_model_config(folder)
    _refuse_other_kinds(config)
    check_hashes(folder)
    needed = (TOKENIZER, *list_needed_graphs(config))
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"{folder} has no {', '.join(missing)}, so it cannot run in a page; export it with litert first."
        )
    more = [] if slim else [ENCODER, *([FLOW] if config.sampling.post_trained else [])]
    return WebModel(folder, config, (*needed, *(name for name in more if (folder / name).is_file())))


def export_web(
    model: str | Path, out: str | Path, *, slim: bool = False, studio: bool = True, force: bool = False
) -> dict[str, float]:
    """Write a folder of static files in which a model generates sound in a web page.

    Args:
        model: name of a bundled or fetched model, or a folder with graphs.
        out: the new folder; it appears whole or not at all.
        slim: whether to leave out what only edits, guidance, loops and long sounds need.
        studio: whether the folder's page is the studio; otherwise it is the example, which is always there too.
        force: whether a folder that an earlier export wrote may be replaced.

    Returns:
        Megabytes of each part of the folder, and under "download" what a page fetches to generate from text.

    Raises:
        ModelError: if the model is unknown, altered, or of another kind.
        UsageError: if `out` exists.
    """
    refuse_folder(Path(out), "web page", force=force)
    opened = open_model(model, slim=slim)
    with folder_atomically(out, "web page", force=force) as new:
        write_page(new)
        write_model(opened, new / "model")
        if studio:
            _write_studio(new)
        return _sizes(new, opened)


def write_page(folder: Path) -> None:
    """Copy the module, its worker, the runtime and the example page.

    Args:
        folder: that exists.
    """
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    shutil.copyfile(folder / "example.html", folder / "index.html")


def _write_studio(folder: Path) -> None:
    """Put the studio next to the engine; it lists what a page needs without a network, the model's files aside."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    kept = {name: path.read_bytes() for name, path in names.items() if _is_kept(name)}
    for name, data in studio_files(kept).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _is_kept(name: str) -> bool:
    return name != "index.html" and (not name.startswith("model/") or name == f"model/{MANIFEST}")


def write_model(model: WebModel, folder: Path) -> None:
    """Write the folder that `load` of arctone.js takes.

    Args:
        model: that was opened.
        folder: the new one.
    """
    folder.mkdir()
    for name in (*model.files, *(name for name in _LICENCES if (model.folder / name).is_file())):
        shutil.copyfile(model.folder / name, folder / name)
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest(model)), indent=1))


def manifest(model: WebModel) -> dict[str, Any]:
    """Build what web.json holds: files with their hashes, the config, fields with their limits, an empty record."""
    config = model.config
    files = [
        {
            "path": name,
            "bytes": (model.folder / name).stat().st_size,
            "sha256": file_hash(model.folder / name),
            "needed": name not in _ON_DEMAND,
        }
        for name in model.files
    ]
    return {
        "schema": SCHEMA,
        "description": describe(model),
        "features": model.features,
        "files": files,
        "config": {**msgspec.to_builtins(config), "usual_sampling": msgspec.to_builtins(SamplingConfig())},
        "record": to_metadata(
            GenerationRequest(prompt=""), model_name=config.name, model_hash=folder_hash(model.folder), engine=ENGINE
        ),
    }


def describe(model: WebModel) -> dict[str, Any]:
    """Describe a model as an answer of GET /v1/models does."""
    config = model.config
    sampling = config.sampling
    defaults = {
        "duration_seconds": sampling.duration_seconds,
        "steps": sampling.steps,
        "cfg_scale": sampling.cfg_scale,
        "sampler": sampling.sampler,
    }
    offers = model.features
    return {
        "id": config.name,
        "name": config.name,
        "is_default": True,
        "sample_rate": config.sample_rate,
        "channels": config.channels,
        "max_duration_seconds": MAX_DURATION_SECONDS,
        "window_seconds": min(config.dit.max_seconds, MAX_DURATION_SECONDS),
        "post_trained": sampling.post_trained,
        "has_flow": model.has_flow,
        "model_hash": folder_hash(model.folder),
        "engine": ENGINE,
        "defaults": defaults,
        "fields": [_field(field) for field in FIELDS if _is_offered(field.name, offers)],
        "capabilities": ["generate", *(_EDITS if offers["edit"] else []), *(["loop"] if offers["loop"] else [])],
        "adapters": [],
    }


def _is_offered(name: str, features: dict[str, bool]) -> bool:
    if name in _GUIDANCE:
        return features["guidance"]
    if name in _EDITS.values():
        return features["edit"]
    return features["loop"] if name == "loop" else name not in _LEFT_OUT


def _field(field: RequestField) -> dict[str, Any]:
    kind = "choice" if field.choices else _KINDS[field.kind]
    values = {name: getattr(field, name) for name in field.__struct_fields__ if name not in ("kind", "short")}
    # JSON's numbers end at 2**53 for pages; the sentence in `allowed` has the true limit, which the page knows.
    maximum = None if field.name == "seed" else field.maximum
    return {**values, "kind": kind, "maximum": maximum, "allowed": field.allowed}


def _refuse_other_kinds(config: ModelConfig) -> None:
    parts: tuple[tuple[str, object, type], ...] = (
        ("autoencoder", config.autoencoder, SpectralConfig),
        ("decoder", config.sounding, SpectralConfig),
        ("transformer", config.dit, DiTConfig),
        ("text encoder", config.text, TextConfig),
    )
    for name, part, kind in parts:
        if not isinstance(part, kind):
            raise ModelError(
                f"{config.name} has another kind of {name} than the bundled models, and a page can run only theirs."
            )
    if config.channels != 2:
        raise ModelError(f"{config.name} makes {config.channels} channels, but a page can make only 2.")


def _sizes(folder: Path, model: WebModel) -> dict[str, float]:
    def megabytes(paths: list[Path]) -> float:
        return round(sum(path.stat().st_size for path in paths) / 1e6, 3)

    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    parts = {part: [path for name, path in files.items() if name.parts[0] == part] for part in ("model", "runtime")}
    page = [path for name, path in files.items() if name.parts[0] not in parts]
    # Browsers fetch one of the runtime's two builds; the one of today's is the larger.
    spared = [path for path in parts["runtime"] if "compat" in path.name]
    optional = [folder / "model" / name for name in _ON_DEMAND]
    fetched = [path for path in files.values() if path not in (*spared, *optional)]
    return {
        "model": megabytes(parts["model"]),
        "runtime": megabytes(parts["runtime"]),
        "page": megabytes(page),
        "all": megabytes(list(files.values())),
        "download": megabytes(fetched),
    }
