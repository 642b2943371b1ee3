"""Where a .tflite file keeps its constant tensors: byte offsets, shapes, scales."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """Content of every buffer of a graph, in order. Args: data: the whole file."""
    from ai_edge_litert import schema_py_generated as schema

    model: Any = schema.Model.GetRootAs(data, 0)
    places = (_bytes_of(model.Buffers(index)) for index in range(model.BuffersLength()))
    return [data[offset : offset + num_bytes] for offset, num_bytes in places]


def values(tensor: GraphTensor, data: bytes | memoryview) -> NDArray[np.float32]:
    """The tensor as float32 numbers of its shape, scales applied. Args: data: the whole file."""
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
