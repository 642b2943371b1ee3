"""Files of tensors: safetensors, PyTorch checkpoints with weights-only loading, weights inside LiteRT graphs."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from arctone.errors import ModelError
from arctone.files.text import parse_json, read_bytes

INDEX = ".index.json"
POINTER = b"version https://git-lfs.github.com/spec"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Map all tensors of a safetensors file: nothing is copied.

    Args:
        path: The file.

    Returns:
        Tensors by name.

    Raises:
        ModelError: If the file is missing or damaged.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as problem:
        raise ModelError(f"{path} is not a whole safetensors file: {_reason(path, problem)}.") from None


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .ckpt or .bin file, under "state_dict" if there is one. No code in the file is run.

    Args:
        path: The file.

    Returns:
        Tensors by name.

    Raises:
        ModelError: If it is damaged, or if it would have to run code.
    """
    try:
        content = _loaded(path)
    except Exception as problem:  # torch and pickle pass on whatever a damaged file makes them meet
        raise ModelError(f"{path} is not a whole checkpoint of tensors alone: {_reason(path, problem)}.") from None
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path} holds other things than named tensors, so it is no checkpoint that can be read.")
    return {str(name): value for name, value in state.items()}


def read_weights(path: Path) -> dict[str, Tensor]:
    """This function reads all tensors of a file of any kind: safetensors, a checkpoint of torch, or an index of shards.

    Args:
        path: The file.

    Returns:
        Tensors by name.

    Raises:
        ModelError: The file or a shard is missing or damaged, or would have to run code.
    """
    if path.name.endswith(INDEX):
        return _read_shards(path)
    return read_tensors(path) if path.suffix == ".safetensors" else read_checkpoint(path)


def _read_shards(path: Path) -> dict[str, Tensor]:
    places = _shard_places(path)
    found: dict[str, Tensor] = {}
    for file in dict.fromkeys(places.values()):
        if not (path.parent / file).is_file():
            raise ModelError(f"{path} names the shard {file}, which is not there.")
        found.update(read_weights(path.parent / file))
    missing = [name for name in places if name not in found]
    if missing:
        raise ModelError(f"{path} names {missing[0]} in {places[missing[0]]}, which does not hold it.")
    return found


def _shard_places(path: Path) -> dict[str, str]:
    try:
        places: dict[str, str] = parse_json(read_bytes(path, error=ModelError))["weight_map"]
    except (ModelError, ValueError, KeyError, TypeError):
        raise ModelError(f"{path} is no index of shards: it has no weight_map.") from None
    plain = isinstance(places, dict) and all(
        isinstance(file, str) and Path(file).name == file for file in places.values()
    )
    if not plain or any(file.endswith(INDEX) for file in places.values()):
        raise ModelError(f"{path} is no index of shards: weight_map must name a file in its folder for each tensor.")
    return dict(places)


def _loaded(path: Path) -> Any:
    """Only tensors and plain containers are built; anything else that the pickle asks for is refused by torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's remarks on old files would follow a sentence that says all
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as problem:
            if "mmap" not in str(problem):
                raise
            return torch.load(path, map_location="cpu", weights_only=True)


def _reason(path: Path, problem: Exception) -> str:
    if _is_pointer(path):
        return "it is only the pointer of a file in git-lfs; get the file itself"
    if isinstance(problem, pickle.UnpicklingError):
        return "it asks for code to be run, which is never done"
    first = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
    return first.rstrip(".")


def _is_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(POINTER)) == POINTER
    except OSError:
        return False


def read_text_weights(folder: Path, kind: str) -> tuple[dict[str, Tensor], Path]:
    """Read the tensors of a published text encoder.

    Args:
        folder: The folder of the encoder.
        kind: What it is called in errors.

    Returns:
        Tensors by name, and the file they lie in.

    Raises:
        ModelError: If the folder holds no file that encoders are published in, or a damaged one.
    """
    names = ("model.safetensors", f"model.safetensors{INDEX}", "pytorch_model.bin", f"pytorch_model.bin{INDEX}")
    for name in names:
        if (folder / name).is_file():
            return read_weights(folder / name), folder / name
    raise ModelError(f"{folder} holds no {kind}: neither model.safetensors nor pytorch_model.bin is there.")


_BUFFER_DATA, _QUANTIZATION_SCALE = 4, 8  # offsets in the vtables of the tables Buffer and QuantizationParameters
_TYPES = {0: "float32", 1: "float16", 2: "int32", 9: "int8", 6: "bool", 4: "int64", 17: "int4"}
_BITS = {"float32": 32, "float16": 16, "int32": 32, "int8": 8, "bool": 8, "int64": 64, "int4": 4}


@dataclass(frozen=True)
class GraphTensor:
    """A constant of a graph: bytes at `offset`; scales (float32) at `scales_offset`, one per index of `axis`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    num_bytes: int
    scales_offset: int = 0
    num_scales: int = 0
    axis: int = 0

    @property
    def num_elements(self) -> int:
        """Product of the shape."""
        return int(np.prod(self.shape))


def constants(path: Path) -> list[GraphTensor]:
    """Constant tensors of all signatures; those that share bytes are listed once."""
    from ai_edge_litert import schema_py_generated as schema

    model: Any = schema.Model.GetRootAs(path.read_bytes(), 0)
    found: dict[int, GraphTensor] = {}
    for index in range(model.SubgraphsLength()):
        graph = model.Subgraphs(index)
        for position in range(graph.TensorsLength()):
            tensor = _constant(model, graph.Tensors(position))
            if tensor is not None:
                found.setdefault(tensor.offset, tensor)
    return list(found.values())


def buffer_bytes(data: bytes) -> list[bytes]:
    """Read the content of every buffer of a graph, in order.

    Args:
        data: The whole file.

    Returns:
        Content by number.
    """
    from ai_edge_litert import schema_py_generated as schema

    model: Any = schema.Model.GetRootAs(data, 0)
    places = (_bytes_of(model.Buffers(index)) for index in range(model.BuffersLength()))
    return [data[offset : offset + num_bytes] for offset, num_bytes in places]


def values(tensor: GraphTensor, data: bytes | memoryview) -> NDArray[np.float32]:
    """Read a tensor as float32 numbers, scales applied.

    Args:
        tensor: Where it lies.
        data: The whole file.

    Returns:
        Numbers in the tensor's shape.
    """
    raw = np.frombuffer(data, tensor.dtype, tensor.num_elements, tensor.offset).reshape(tensor.shape)
    return (raw.astype(np.float32) * scales(tensor, data)).astype(np.float32)


def scales(tensor: GraphTensor, data: bytes | memoryview) -> NDArray[np.float32]:
    """Scales shaped to broadcast against the tensor; 1 if it is not quantised."""
    if not tensor.num_scales:
        return np.ones((1,) * max(len(tensor.shape), 1), np.float32)
    found = np.frombuffer(data, "<f4", tensor.num_scales, tensor.scales_offset)
    shape = [1] * len(tensor.shape)
    shape[tensor.axis] = tensor.num_scales
    return found.reshape(shape)


def _constant(model: Any, tensor: Any) -> GraphTensor | None:
    buffer = model.Buffers(tensor.Buffer())
    dtype = _TYPES.get(tensor.Type())
    offset, num_bytes = _bytes_of(buffer)
    if dtype is None or num_bytes == 0:
        return None
    shape = tuple(int(size) for size in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
    if num_bytes * 8 != max(int(np.prod(shape)), 1) * _BITS[dtype]:
        return None
    name = (tensor.Name() or b"").decode()
    return GraphTensor(name, dtype, shape, offset, num_bytes, *_scales_of(tensor))


def _bytes_of(buffer: Any) -> tuple[int, int]:
    """Offset and length; buffers of large files lie behind the flatbuffer and say so themselves."""
    if buffer.Offset() > 1:
        return int(buffer.Offset()), int(buffer.Size())
    table = buffer._tab
    field = table.Offset(_BUFFER_DATA)
    return (int(table.Vector(field)), int(table.VectorLen(field))) if field else (0, 0)


def _scales_of(tensor: Any) -> tuple[int, int, int]:
    quantization = tensor.Quantization()
    if quantization is None or not quantization.ScaleLength():
        return 0, 0, 0
    table = quantization._tab
    field = table.Offset(_QUANTIZATION_SCALE)
    return int(table.Vector(field)), int(table.VectorLen(field)), int(quantization.QuantizedDimension())
