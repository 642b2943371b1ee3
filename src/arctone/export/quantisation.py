"""int8 weights of graphs, and the smallest folder that still runs.

Quantisation is dynamic: weights are integers, activations are quantised as they come. Weights of 16 bits are floats,
and turned to 32 where a machine computes in these. A quantiser silently skips what it cannot do, so every
weight of the result is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from arctone.checkpoints.tensor_files import buffer_bytes
from arctone.errors import ModelError

MIN_QUANTISED = 2048
"""Weights with fewer elements may stay float: they are neither large nor slow."""

_WEIGHT_INPUT = {"FULLY_CONNECTED": 1, "EMBEDDING_LOOKUP": 1, "CONV_2D": 1, "TRANSPOSE_CONV": 1}
_BITS = {0: 32, 1: 16, 9: 8, 17: 4}


class Rule(NamedTuple):
    """Weights of one operation.

    Args:
        operation: Of LiteRT, such as "FULLY_CONNECTED".
        bits: 8, 4, or 16 and 32 = float.
        block: Neighbouring inputs that share a scale; 0 = one scale for each output channel.
        names: Regular expression, searched in the name of what the operation gives, which holds the torch modules'
            names. Of several rules that fit, the last holds.
    """

    operation: str
    bits: int = 8
    block: int = 0
    names: str = "."


class Weight(NamedTuple):
    """A constant weight of an operation: the name of the operation's result, bits, block and shape."""

    operation: str
    name: str
    bits: int
    block: int
    shape: tuple[int, ...]

    @property
    def num_elements(self) -> int:
        """Product of the shape."""
        return int(np.prod(self.shape))


def rule_of(operation: str, name: str, rules: Sequence[Rule]) -> Rule:
    """The last rule that fits; float if none does."""
    fitting = [rule for rule in rules if rule.operation == operation and re.search(rule.names, name)]
    return fitting[-1] if fitting else Rule(operation, 32)


def check_weights(path: Path, rules: Sequence[Rule]) -> None:
    """Compare every large weight of a quantised graph, its names not yet taken away, with the rules.

    Args:
        path: Quantised graph.
        rules: Which operations are quantised, and how.

    Raises:
        ModelError: that names a weight of another type.
    """
    for weight in weights(path):
        wanted = rule_of(weight.operation, weight.name, rules)
        has = (weight.bits, weight.block)
        if weight.num_elements >= MIN_QUANTISED and has != (wanted.bits, wanted.block):
            raise ModelError(
                f"{path.name}: the weight {list(weight.shape)} of {weight.name} was not quantised to {wanted.bits} bits"
                f"{f' in blocks of {wanted.block}' if wanted.block else ''}, but has {weight.bits}."
            )


def weights(path: Path) -> list[Weight]:
    """The constant weights of all operations of all signatures."""
    from ai_edge_litert import schema_py_generated as schema

    operators = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    model: Any = schema.Model.GetRootAs(path.read_bytes(), 0)
    found = []
    for index in range(model.SubgraphsLength()):
        graph = model.Subgraphs(index)
        stored = _stored(model, graph, operators)
        for position in range(graph.OperatorsLength()):
            call = graph.Operators(position)
            name = operators[model.OperatorCodes(call.OpcodeIndex()).BuiltinCode()]
            if name in _WEIGHT_INPUT:
                place = call.Inputs(_WEIGHT_INPUT[name])
                tensor = graph.Tensors(stored.get(place, place))
                result = graph.Tensors(call.Outputs(0)).Name() or b""
                if _is_constant(model, tensor):
                    found.append(Weight(name, result.decode(), *_type(tensor)))
    return found


def _stored(model: Any, graph: Any, operators: Mapping[int, str]) -> dict[int, int]:
    """Where the values of a tensor come from that is another in 32 bits."""
    found = {}
    for position in range(graph.OperatorsLength()):
        call = graph.Operators(position)
        if operators[model.OperatorCodes(call.OpcodeIndex()).BuiltinCode()] == "DEQUANTIZE":
            found[int(call.Outputs(0))] = int(call.Inputs(0))
    return found


def _is_constant(model: Any, tensor: Any) -> bool:
    buffer = model.Buffers(tensor.Buffer())
    return bool(buffer.DataLength() or buffer.Size())


def _type(tensor: Any) -> tuple[int, int, tuple[int, ...]]:
    shape = tuple(int(size) for size in tensor.ShapeAsNumpy())
    return _BITS.get(tensor.Type(), 0), _block(tensor), shape


def _block(tensor: Any) -> int:
    from ai_edge_litert import schema_py_generated as schema

    quantization = tensor.Quantization()
    if quantization is None or quantization.DetailsType() != schema.QuantizationDetails.BlockwiseQuantization:
        return 0
    details: Any = schema.BlockwiseQuantization()
    table = quantization.Details()
    details.Init(table.Bytes, table.Pos)
    return int(details.BlockSize())


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
