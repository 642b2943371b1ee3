"""Each graph is converted once, and one that has not changed since its conversion was stored is not converted again.

A conversion is a function of the exported program, its weights and the versions of the converter. The folder
tests/exports/converted holds results under a digest of all these; whatever is not there is converted, which takes
seconds for each of some thousand weights. `python -m tests.write_exports` stores them.
"""

import hashlib
import importlib.metadata
import lzma
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from arctone.export import bundle, stable_audio
from arctone.export.graphs import Signature, quietly
from tests.write_exports import CONVERTED, STORE_CONVERSIONS

Convert = Callable[[Sequence[Signature], Path], None]
LITERT = ("torch", "litert-torch", "litert-converter", "jax", "ai-edge-litert")
ONNX = ("torch", "onnxscript", "onnx")


class Conversions:
    """Results of conversions by what they were made from: those of this session, and those that are stored.

    Args:
        session: folder for those of this session.
    """

    def __init__(self, session: Path) -> None:
        self.session = session
        self.made: list[str] = []

    def get(
        self, signatures: Sequence[Signature], path: Path, packages: Sequence[str], convert: Callable[[], None]
    ) -> None:
        """Write the result to `path`. convert: writes it there itself."""
        known = self.session / _digest(signatures)
        if not known.exists():
            self._get_stored(signatures, path, packages, convert)
            shutil.copyfile(path, known)
        shutil.copyfile(known, path)

    def _get_stored(
        self, signatures: Sequence[Signature], path: Path, packages: Sequence[str], convert: Callable[[], None]
    ) -> None:
        kind = "onnx" if packages == ONNX else "tflite"
        title = "-".join([type(signatures[0].module).__name__, *(signature.name for signature in signatures)])
        stored = CONVERTED / f"{title}-{_program_digest(signatures, packages)[:12]}.{kind}.xz"
        if stored.exists():
            path.write_bytes(lzma.decompress(stored.read_bytes()))
            return
        convert()
        self.made.append(title)
        if os.environ.get(STORE_CONVERSIONS):
            CONVERTED.mkdir(exist_ok=True)
            stored.write_bytes(lzma.compress(path.read_bytes()))


@pytest.fixture(scope="session", autouse=True)
def convert(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Convert]:
    """The exporter's conversion, which remembers its results; that of ONNX does, too."""
    conversions, real, real_onnx = Conversions(tmp_path_factory.mktemp("converted")), bundle.convert, torch.onnx.export

    def remembering(signatures: Sequence[Signature], path: Path) -> None:
        conversions.get(signatures, path, LITERT, lambda: real(signatures, path))

    def remembering_onnx(module: nn.Module, *, kwargs: dict[str, Tensor], f: str, **options: Any) -> None:
        signature = Signature(f"onnx{options['opset_version']}", module, kwargs)
        conversions.get([signature], Path(f), ONNX, lambda: _ignored(real_onnx(module, kwargs=kwargs, f=f, **options)))

    with pytest.MonkeyPatch.context() as patch:
        for module in (bundle, stable_audio):
            patch.setattr(module, "convert", remembering)
        patch.setattr(torch.onnx, "export", remembering_onnx)
        yield remembering
    if conversions.made and not os.environ.get(STORE_CONVERSIONS):
        warnings.warn(
            f"{', '.join(conversions.made)} were converted again, as they or the converter changed: "
            "python -m tests.write_exports stores them",
            stacklevel=1,
        )


def _ignored(_: object) -> None:
    """Forget a result."""


def _digest(signatures: Sequence[Signature]) -> str:
    """Return one sum of all that a conversion reads: the modules with their weights, and the shapes of their inputs."""
    digest = hashlib.sha256()
    for signature in signatures:
        digest.update(f"{signature.name} {type(signature.module).__qualname__} {signature.module}".encode())
        _add_tensors(digest, signature.module.state_dict())
        for name, value in signature.inputs.items():
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
    return digest.hexdigest()


def _program_digest(signatures: Sequence[Signature], packages: Sequence[str]) -> str:
    """Return one sum that outlives the session: programs as torch exports them, weights, and the packages' versions.

    Names of modules are part of it, since rules of quantisation look for them in the graph.
    """
    digest = hashlib.sha256()
    for package in packages:  # of torch, the builds for different processors are the same version
        digest.update(f"{package} {importlib.metadata.version(package).partition('+')[0]}\n".encode())
    for signature in signatures:
        with quietly():
            program = torch.export.export(signature.module, args=(), kwargs=signature.inputs, strict=False)
        digest.update(f"{signature.name} {program.graph_signature} {program.call_spec.out_spec}\n".encode())
        for node in program.graph.nodes:
            modules = list(node.meta.get("nn_module_stack", {}).values())
            value = node.meta.get("val")
            kind = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else ""
            digest.update(f"{node.format_node()} {kind} {modules}\n".encode())
        _add_tensors(digest, program.state_dict)
        _add_tensors(digest, {name: value for name, value in program.constants.items() if isinstance(value, Tensor)})
    return digest.hexdigest()


def _add_tensors(digest: Any, tensors: Mapping[str, Tensor]) -> None:
    for name, value in tensors.items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode() + value.detach().numpy().tobytes())
