"""Open a model: from a name or a folder and options to a model that generates."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from arctone.errors import ModelError, install_hint
from arctone.inference.backends.base import Backend
from arctone.inference.engine import Engine, Model
from arctone.inference.load_options import DeviceName, EngineName, LoadOptions, PrecisionName, usable_threads
from arctone.model_folder.config import ModelConfig
from arctone.model_folder.folder import DIT, check_hashes, find_model, folder_hash, read_model_config
from arctone.model_folder.tokenizer import Tokenizer, tokenizer_folder

if TYPE_CHECKING:
    from arctone.inference.backends.torch import TorchBackend


def load(
    name_or_folder: str | Path,
    engine: EngineName = "auto",
    threads: int | None = None,
    weights_cache: str | Path | None = None,
    adapters: Sequence[tuple[str | Path, float]] = (),
    low_ram: bool = False,
    precision: PrecisionName = "auto",
    device: DeviceName = "auto",
    compiled: bool = False,
) -> Model:
    """Open a model; its parts load when they are first used.

    Args:
        name_or_folder: the name of a bundled model, or a model folder.
        engine: "native" (no torch needed), "torch", or "auto": native where the folder has graphs.
        threads: CPU threads of requests that state none; None = all that the process may use.
        weights_cache: folder for the native engine's packed weights; None = none is kept.
        adapters: folders that `arctone train lora` wrote, each with its strength (1 = as trained).
        low_ram: whether the native engine keeps one graph open at a time.
        precision: what the torch engine computes in.
        device: of the torch engine.
        compiled: whether the torch engine's transformer and decoder are compiled.

    Returns:
        The model. See LoadOptions for more on each option.

    Raises:
        ModelError: if the model is unknown, incomplete or altered.
        UsageError: for an unknown engine, precision or device.
    """
    options = LoadOptions(
        engine=engine,
        threads=threads,
        device=device,
        precision=precision,
        compiled=compiled,
        adapters=tuple((Path(path), float(strength)) for path, strength in adapters),
        low_ram=low_ram,
        weights_cache=None if weights_cache is None else Path(weights_cache),
    )
    return load_model(name_or_folder, options)


def load_model(name_or_folder: str | Path, options: LoadOptions) -> Model:
    """Open a model with options that several programs share.

    Args:
        name_or_folder: Name of a model or its folder, see `load`.
        options: Engine, device, precision and the like.

    Returns:
        The model.

    Raises:
        UsageError: If an option does not fit the model or this machine.
        ModelError: If a file is missing, damaged or does not fit the config.
    """
    folder = find_model(name_or_folder)
    config = read_model_config(folder)
    check_hashes(folder)
    tokenizer = Tokenizer(tokenizer_folder(folder), config.text.max_tokens)
    options = options.checked()
    model_hash = folder_hash(folder)
    if not _is_native(folder, options):
        torch_backend = _open_torch(folder, config, options)
        used = torch_backend.adapters
        if used:
            whole = [model_hash, *(f"{one.digest}:{one.strength:g}" for one in used)]
            model_hash = hashlib.sha256("\n".join(whole).encode()).hexdigest()
        engine = Engine(torch_backend, config, tokenizer, model_hash, options.threads, used, options.precision)
        return Model(engine, folder)
    native = _open_native(folder, config, options)
    return Model(Engine(native, config, tokenizer, model_hash, options.threads), folder)


def _is_native(folder: Path, options: LoadOptions) -> bool:
    has_graphs = (folder / DIT).is_file()
    if not has_graphs and (folder / "dit.onnx").is_file():
        raise ModelError(
            f"{folder} holds ONNX graphs, which are for other programs; arctone runs what they were exported from, or "
            "LiteRT graphs (arctone export litert)."
        )
    if options.engine == "native" and not has_graphs:
        raise ModelError(f"{folder} has no {DIT}, so the native engine cannot run it; export it first.")
    return options.engine != "torch" and has_graphs


def _open_native(folder: Path, config: ModelConfig, options: LoadOptions) -> Backend:
    from arctone.inference.backends.litert import LiteRTBackend

    threads = options.threads or usable_threads()
    return LiteRTBackend(folder, config, threads, options.weights_cache, options.low_ram)


def _open_torch(folder: Path, config: ModelConfig, options: LoadOptions) -> TorchBackend:
    try:
        from arctone.inference.backends.torch import found_device, load_backend
    except ImportError:
        raise ModelError(f"the torch engine needs torch, which is not installed: {install_hint('train')}.") from None
    device = found_device(options.device)
    adapters = [(path.expanduser(), strength) for path, strength in options.adapters]
    return load_backend(folder, config, device, adapters, options.precision, compiled=options.compiled)
