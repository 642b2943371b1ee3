"""Each float graph is converted once: precisions only differ in how it is quantised afterwards."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from arctone.export import bundle, stable_audio
from arctone.export.graphs import Signature

Convert = Callable[[Sequence[Signature], Path], None]


@pytest.fixture(scope="session", autouse=True)
def convert(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Convert]:
    """The exporter's conversion, which remembers its results: seconds for each of some thousand weights."""
    kept, real = tmp_path_factory.mktemp("converted"), bundle.convert

    def remembering(signatures: Sequence[Signature], path: Path) -> None:
        graph = kept / _digest(signatures)
        if not graph.exists():
            real(signatures, path)
            shutil.copyfile(path, graph)
        shutil.copyfile(graph, path)

    with pytest.MonkeyPatch.context() as patch:
        for module in (bundle, stable_audio):
            patch.setattr(module, "convert", remembering)
        yield remembering


def _digest(signatures: Sequence[Signature]) -> str:
    """Return one sum of all that a conversion reads: the modules with their weights, and the shapes of their inputs."""
    digest = hashlib.sha256()
    for signature in signatures:
        digest.update(f"{signature.name} {type(signature.module).__qualname__} {signature.module}".encode())
        for name, value in signature.module.state_dict().items():
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode() + value.numpy().tobytes())
        for name, value in signature.inputs.items():
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
    return digest.hexdigest()
