"""A model folder for small devices: what generation reads, with rare words of the text encoder left out if asked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arctone.checkpoints.tensor_files import buffer_bytes
from arctone.errors import ModelError
from arctone.export.quantisation import packed, weights
from arctone.files.atomic import folder_atomically, refuse_folder
from arctone.model_folder.config import TextConfig
from arctone.model_folder.folder import (
    CONFIG,
    TEXT,
    check_hashes,
    find_model,
    list_needed_graphs,
    read_model_config,
    write_hashes,
)
from arctone.model_folder.tokenizer import FILE_NAME as TOKENIZER

NUM_FREQUENT = 12_000
_INT8, _INT4, _INT32, _FLOAT32 = 9, 17, 2, 0
_CLIPS = np.linspace(0.4, 1.0, 25)


def narrow_rare_words(path: Path, out: Path, num_frequent: int = NUM_FREQUENT) -> None:
    """Write a text graph whose rare words have 4 bits.

    Args:
        path: A graph with one signature that looks words up in one table of int8.
        out: New file.
        num_frequent: Ids below it keep 8.

    Raises:
        ModelError: if there is no such table.
    """
    from ai_edge_litert import schema_py_generated as schema

    data = path.read_bytes()
    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    surgery = _Surgery(model, buffer_bytes(data), path)
    surgery.cut(num_frequent)
    out.write_bytes(packed(model, surgery.buffers))


def has_words_to_narrow(path: Path, num_frequent: int = NUM_FREQUENT) -> bool:
    """Whether a text graph has a table of int8 with more words than keep their bits."""
    tables = (weight for weight in weights(path) if weight.operation == "EMBEDDING_LOOKUP")
    return any(table.bits == 8 and table.shape[0] > num_frequent for table in tables)


class _Surgery:
    """Adds tensors and operators to the only subgraph of a model."""

    def __init__(self, model: Any, buffers: list[bytes], path: Path) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema: Any = schema
        self._model, self.buffers, self._path = model, buffers, path
        self._graph = model.subgraphs[0]
        self._new: list[Any] = []

    def cut(self, num_frequent: int) -> None:
        place, lookup = self._lookup()
        ids, table = lookup.inputs
        words = self._graph.tensors[table]
        values = np.frombuffer(self.buffers[words.buffer], np.int8).reshape(words.shape)
        scales = np.asarray(words.quantization.scale, np.float32)
        zero = np.zeros((1, values.shape[1]), np.int8)
        rare, rare_scales = four_bits(values[num_frequent:] * scales[num_frequent:, None])
        frequent = self._table(_INT8, np.concatenate([values[:num_frequent], zero]), scales[:num_frequent], last=True)
        rare_table = self._table(_INT4, np.concatenate([zero, rare]), rare_scales, last=False)
        self.buffers[words.buffer] = b""
        words.buffer, words.shape, words.type = 0, np.array([1], np.int32), _FLOAT32
        words.quantization = None
        codes = self._schema.BuiltinOperator
        first = self._call(codes.MINIMUM, [ids, self._number(num_frequent)], ids, _INT32)
        moved = self._call(codes.SUB, [ids, self._number(num_frequent - 1)], ids, _INT32)
        second = self._call(codes.MAXIMUM, [moved, self._number(0)], ids, _INT32)
        result = lookup.outputs[0]
        parts = [
            self._call(codes.EMBEDDING_LOOKUP, [ids_of, rows], result, _FLOAT32, lookup.opcodeIndex)
            for ids_of, rows in ((first, frequent), (second, rare_table))
        ]
        self._call(codes.ADD, parts, result, _FLOAT32)
        self._new[-1].outputs = np.array([result], np.int32)
        self._graph.operators[place : place + 1] = self._new

    def _lookup(self) -> tuple[int, Any]:
        code = self._schema.BuiltinOperator.EMBEDDING_LOOKUP
        for place, call in enumerate(self._graph.operators):
            is_lookup = self._model.operatorCodes[call.opcodeIndex].builtinCode == code
            if is_lookup and self._graph.tensors[call.inputs[1]].type == _INT8 and len(self._model.subgraphs) == 1:
                return place, call
        raise ModelError(f"{self._path} has no table of words in 8 bits, so there is nothing to narrow.")

    def _table(self, kind: int, rows: NDArray[np.int8], scales: NDArray[np.float32], *, last: bool) -> int:
        """A constant table; the row of zeros, the last or the first, gets any scale."""
        data = rows.tobytes() if kind == _INT8 else _nibbles(rows)
        quantization = self._schema.QuantizationParametersT()
        quantization.scale = np.append(scales, 1.0) if last else np.insert(scales, 0, 1.0)
        quantization.scale = quantization.scale.astype(np.float32)
        quantization.zeroPoint = np.zeros(len(rows), np.int64)
        return self._tensor(rows.shape, kind, data, quantization)

    def _number(self, value: int) -> int:
        return self._tensor((), _INT32, np.int32(value).tobytes())

    def _tensor(self, shape: tuple[int, ...], kind: int, data: bytes = b"", quantization: Any = None) -> int:
        tensor = self._schema.TensorT()
        tensor.shape, tensor.type, tensor.name = np.array(shape, np.int32), kind, b""
        tensor.quantization, tensor.buffer, tensor.hasRank = quantization, 0, True
        if data:
            tensor.buffer = len(self.buffers)
            self.buffers.append(data)
            self._model.buffers.append(self._schema.BufferT())
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _call(self, code: int, inputs: list[int], like: int, kind: int, index: int | None = None) -> int:
        """One more operator, whose result has the shape of another tensor; returns the result."""
        call = self._schema.OperatorT()
        call.opcodeIndex = self._code(code) if index is None else index
        call.inputs = np.array(inputs, np.int32)
        result = self._tensor(tuple(self._graph.tensors[like].shape), kind)
        call.outputs = np.array([result], np.int32)
        options = {self._schema.BuiltinOperator.SUB: "Sub", self._schema.BuiltinOperator.ADD: "Add"}.get(code)
        if options:
            call.builtinOptionsType = getattr(self._schema.BuiltinOptions, f"{options}Options")
            call.builtinOptions = getattr(self._schema, f"{options}OptionsT")()
        self._new.append(call)
        return result

    def _code(self, code: int) -> int:
        for index, known in enumerate(self._model.operatorCodes):
            if known.builtinCode == code:
                return index
        new = self._schema.OperatorCodeT()
        new.builtinCode, new.deprecatedBuiltinCode, new.version = code, min(code, 127), 1
        self._model.operatorCodes.append(new)
        return len(self._model.operatorCodes) - 1


def four_bits(rows: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Each row as integers from -7 to 7 and a scale: of 25 scales the one of least square error."""
    largest = np.maximum(np.abs(rows).max(axis=1), 1e-12)
    least = np.full(len(rows), np.inf, np.float32)
    scales = largest / 7
    for clip in _CLIPS:
        scale = largest * clip / 7
        error = np.square(_rounded(rows, scale) * scale[:, None] - rows).sum(axis=1)
        better = error < least
        scales, least = np.where(better, scale, scales), np.where(better, error, least)
    return _rounded(rows, scales).astype(np.int8), scales.astype(np.float32)


def _rounded(rows: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(np.round(rows / scales[:, None]), -7, 7)


def _nibbles(rows: NDArray[np.int8]) -> bytes:
    """Two numbers a byte, the first in the lower half."""
    flat = rows.astype(np.uint8).reshape(-1) & 15
    return bytes(flat[0::2] | (flat[1::2] << 4))


_DOCUMENTS = ("card.md", "LICENSE", "licence", "NOTICE", "parity.json")


def copy_for_edge(
    model: str | Path, out: Path | str, *, exact_words: bool = False, force: bool = False
) -> dict[str, float]:
    """Copy a model folder without its encoder and without the way back to torch weights; rare words get 4 bits.

    Args:
        model: Name of a bundled model, or a folder with graphs.
        out: The new folder; it appears whole or not at all.
        exact_words: Keep the table of words as it is; that of T5, and float32 ones, always stay.
        force: Replace a folder that is there.

    Returns:
        Megabytes of each file.

    Raises:
        ModelError: if the model is unknown, altered or has no graphs.
        UsageError: if `out` exists.
    """
    refuse_folder(Path(out), "model", force=force)
    folder = find_model(model)
    config = read_model_config(folder)
    needed = (CONFIG, TOKENIZER, *list_needed_graphs(config))
    check_hashes(folder)
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder} has no {', '.join(missing)}, so it cannot run on a small device; export it first.")
    with folder_atomically(out, "model", force=force) as new:
        for name in (*needed, *_DOCUMENTS):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, new / name)
        if not exact_words and isinstance(config.text, TextConfig) and has_words_to_narrow(folder / TEXT):
            narrow_rare_words(folder / TEXT, new / TEXT)
        write_hashes(new)
        return {path.name: round(path.stat().st_size / 1e6, 3) for path in sorted(new.iterdir())}
