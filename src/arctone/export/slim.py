"""Takes from a .tflite file what no runtime needs: tensor names, and second copies of scales and zero points.

Every signature lists the scales of every weight again: with four of one transformer, an eighth of the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from arctone.checkpoints.tflite_tensors import buffer_bytes

_ALIGNMENT = 16
_FILE_IDENTIFIER = b"TFL3"
_PLACEHOLDER = 2  # an offset or a size above 1, so that the field takes its room


def slim(path: Path) -> None:
    """Rewrite a graph without names and repetitions; weights, signatures and results stay the same."""
    from ai_edge_litert import schema_py_generated as schema

    data = path.read_bytes()
    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    weights = buffer_bytes(data)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.name = b""
    path.write_bytes(packed(model, weights))


def packed(model: Any, weights: list[bytes]) -> bytes:
    """The flatbuffer, then the weights, each aligned; the buffers say where theirs are."""
    places = [_PLACEHOLDER] * len(weights)
    start = _round_up(len(_flatbuffer(model, weights, places)))
    body = bytearray()
    for index, weight in enumerate(weights):
        places[index] = start + len(body)
        body += weight + b"\0" * (_round_up(len(weight)) - len(weight))
    head = _flatbuffer(model, weights, places)
    return head + b"\0" * (start - len(head)) + bytes(body)


def _flatbuffer(model: Any, weights: list[bytes], places: list[int]) -> bytes:
    for buffer, weight, place in zip(model.buffers, weights, places, strict=True):
        buffer.data = None
        buffer.offset, buffer.size = (place, len(weight)) if weight else (0, 0)
    builder = _sharing_builder()
    builder.Finish(model.Pack(builder), file_identifier=_FILE_IDENTIFIER)
    return bytes(builder.Output())


def _round_up(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _sharing_builder() -> Any:
    """A flatbuffer builder that writes equal vectors once and lets all tables point to them."""
    import flatbuffers  # type: ignore[import-untyped]

    class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]
        written: dict[tuple[str, bytes], int]

        def CreateNumpyVector(self, x: Any) -> int:
            key = (x.dtype.str, x.tobytes())
            if key not in self.written:
                self.written[key] = super().CreateNumpyVector(x)
            return self.written[key]

    builder = SharingBuilder(1 << 20)
    builder.written = {}
    return builder
