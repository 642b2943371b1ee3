"""One artefact for both engines: which bytes of the graphs hold which torch parameter.

`weights_map.json` lists for each parameter the file, the byte offset, the type and the scales; what a graph does not
hold as it is (folded or computed away) lies in `rest.safetensors`. So a folder of graphs is also a torch checkpoint,
to within half a quantisation step, and needs no second copy of the weights.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from arctone.checkpoints.tensor_files import GraphTensor, constants, read_tensors, scales, values
from arctone.errors import ModelError
from arctone.files.text import parse_json, read_bytes

MAP, REST = "weights_map.json", "rest.safetensors"
_SLACK = 0.505  # of a quantisation step: half, and the rounding of float32
_MIN_ELEMENTS = 16  # shorter tensors could be found by chance
_HALF_FROM = 4096  # the rest is kept in 16 bit from this size on

Entry = dict[str, Any]


def write_weights_map(folder: Path, states: Mapping[str, Mapping[str, Tensor]]) -> tuple[int, int]:
    """Find every parameter in the folder's graphs, and write the map and the rest.

    Args:
        folder: The folder with the graphs.
        states: Parameters and buffers by graph file name, e.g. {"dit.tflite": {"dit.enter.weight": ...}}.

    Returns:
        How many were found, how many went to the rest.

    Raises:
        ModelError: If two states share a name.
    """
    entries: dict[str, Entry] = {}
    rest: dict[str, Tensor] = {}
    for file, state in states.items():
        finder = _Finder(folder / file)
        for name, value in state.items():
            if name in entries or name in rest:
                raise ModelError(f"the parameter {name} occurs in two graphs.")
            entry = finder.find(_numbers(value)) or _find_folded(finder, state, name)
            if entry is None:
                rest[name] = _compact(value)
            else:
                entries[name] = {"file": file, **entry}
    (folder / MAP).write_text(json.dumps(entries, indent=1) + "\n")
    save_file(rest, folder / REST)
    return len(entries), len(rest)


def load_from_graphs(folder: Path) -> dict[str, Tensor]:
    """Read all parameters of a folder with graphs and a weights map.

    Args:
        folder: The folder.

    Returns:
        Float32 tensors by name, such as "dit.enter.weight".

    Raises:
        ModelError: If the map or a file is missing, or an entry does not fit its file.
    """
    entries = _read_map(folder)
    state = {name: value.float() for name, value in read_tensors(folder / REST).items()}
    files: dict[str, bytes] = {}
    for name, entry in entries.items():
        file = str(entry.get("file"))
        if Path(file).name != file:
            raise ModelError(f"{folder / MAP} points to {file!r}, which is no file of the folder.")
        if file not in files:
            files[file] = _read_graph(folder / file)
        state[name] = torch.from_numpy(_value(entry, files[file], name))
    for name, entry in entries.items():
        others = [entry[kind] for kind in ("row_scale", "column_scale") if kind in entry]
        if any(other not in state for other in others):
            raise ModelError(f"{folder / MAP}: the parameter {name} is scaled by one that is not there.")
        if "row_scale" in entry:
            state[name] = state[name] / state[entry["row_scale"]][:, None]
        if "column_scale" in entry:
            state[name] = state[name] / state[entry["column_scale"]]
    return state


def part_state(state: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Select the entries of one part.

    Args:
        state: Tensors by name.
        part: Such as "dit".

    Returns:
        Its tensors by name, without the part's prefix.
    """
    prefix = f"{part}."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


class _Finder:
    """Looks a parameter up among the constants of one graph, by shape and then by value."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self._by_shape: dict[tuple[int, ...], list[GraphTensor]] = defaultdict(list)
        for tensor in constants(path):
            if tensor.dtype in ("float32", "int8"):
                self._by_shape[_squeezed(tensor.shape)].append(tensor)

    def find(self, wanted: NDArray[np.float32]) -> Entry | None:
        if wanted.size < _MIN_ELEMENTS:
            return None
        orders = [tuple(range(wanted.ndim))]
        if wanted.ndim == 2:
            orders.append((1, 0))
        for order in orders:
            turned = wanted.transpose(order)
            for tensor in self._by_shape[_squeezed(turned.shape)]:
                if self._holds(tensor, turned):
                    return _entry(tensor, wanted.shape, order != orders[0])
        return None

    def _holds(self, tensor: GraphTensor, wanted: NDArray[np.float32]) -> bool:
        if not self._begins_alike(tensor, wanted):
            return False
        found = values(tensor, self._data).reshape(wanted.shape)
        if tensor.dtype == "float32":
            return bool(np.array_equal(found, wanted))
        step = scales(tensor, self._data)
        distance = np.abs(found - wanted).reshape(tensor.shape)
        return bool((distance <= _SLACK * step).all())

    def _begins_alike(self, tensor: GraphTensor, wanted: NDArray[np.float32]) -> bool:
        """Compare a few numbers before all of them."""
        count = min(wanted.size, 8)
        head = np.frombuffer(self._data, tensor.dtype, count, tensor.offset).astype(np.float32)
        first = wanted.ravel()[:count]
        if tensor.dtype == "float32":
            return bool(np.array_equal(head, first))
        steps = np.broadcast_to(scales(tensor, self._data), tensor.shape).ravel()[:count]
        return bool((np.abs(head * steps - first) <= _SLACK * steps).all())


def _find_folded(finder: _Finder, state: Mapping[str, Tensor], name: str) -> Entry | None:
    """A linear layer with a neighbour folded into it; the entry then says by which parameter to divide.

    The converter multiplies a scale that follows into the rows, and the gain of a norm that precedes into the columns.
    """
    weight = _numbers(state[name])
    if weight.ndim != 2:
        return None
    for other, value in state.items():
        if value.ndim != 1 or not other.endswith((".weight", ".scale")) or not bool((value != 0).all()):
            continue
        kind, length = ("row_scale", 0) if other.endswith(".scale") else ("column_scale", 1)
        if value.shape[0] == weight.shape[length]:
            scale = _numbers(value)
            entry = finder.find(weight * (scale[:, None] if kind == "row_scale" else scale))
            if entry is not None:
                return {**entry, kind: other}
    return None


def _numbers(value: Tensor) -> NDArray[np.float32]:
    return np.asarray(value.detach().float().cpu().numpy(), np.float32)


def _entry(tensor: GraphTensor, shape: tuple[int, ...], transposed: bool) -> Entry:
    entry: Entry = {
        "offset": tensor.offset,
        "dtype": tensor.dtype,
        "graph_shape": list(tensor.shape),
        "shape": list(shape),
        "transposed": transposed,
    }
    if tensor.num_scales:
        entry |= {"scales_offset": tensor.scales_offset, "num_scales": tensor.num_scales, "axis": tensor.axis}
    return entry


def _value(entry: Entry, data: bytes, name: str) -> NDArray[np.float32]:
    try:
        places = {key: entry[key] for key in ("scales_offset", "num_scales", "axis") if key in entry}
        tensor = GraphTensor(name, entry["dtype"], tuple(entry["graph_shape"]), entry["offset"], 0, **places)
        stored = values(tensor, data)
        shape = tuple(entry["shape"])
        out = stored.reshape(shape[::-1]).T if entry["transposed"] else stored.reshape(shape)
        return np.array(out, np.float32, order="C")
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, SyntaxError):  # numpy parses a type's name
        raise ModelError(f"{MAP}: the parameter {name} does not fit into {entry.get('file')}.") from None


def _compact(value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    large = value.is_floating_point() and value.numel() >= _HALF_FROM
    return value.half() if large else value.clone()


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _read_map(folder: Path) -> dict[str, Entry]:
    path = folder / MAP
    if not path.is_file() or not (folder / REST).is_file():
        raise ModelError(f"{folder} has no {MAP} with {REST}, so its graphs cannot be read as torch weights.")
    try:
        entries = parse_json(read_bytes(path, error=ModelError))
    except ValueError as problem:
        raise ModelError(f"{path} is not valid JSON: {problem}.") from None
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ModelError(f"{path} does not say where the parameters lie.")
    return entries


def _read_graph(path: Path) -> bytes:
    try:
        return read_bytes(path, max_bytes=2**31, error=ModelError)
    except ModelError as problem:
        raise ModelError(f"{MAP} points into a file that cannot be used: {problem}") from None
