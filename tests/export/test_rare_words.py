"""A word table in two precisions: frequent words as before, rare ones near, and the folder small."""

from pathlib import Path

import numpy as np
import pytest

from arctone.errors import ModelError
from arctone.export.edge import copy_for_edge, four_bits, narrow_rare_words
from arctone.export.graphs import snr_db
from arctone.export.quantisation import weights
from arctone.inference.backends.litert_graph import Graph, load_graph
from arctone.model_folder.folder import check_hashes, find_model
from arctone.model_folder.tokenizer import Tokenizer

PROMPTS = (
    "rain on a tin roof",
    "funky drum loop, 120 BPM",
    "kalimba arpeggio with a whooshing riser",
    "didgeridoo drone beside a crackling campfire",
    "glockenspiel and pizzicato strings in F sharp minor",
)


def pooled(graph: Graph, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return graph.run("text", {"ids": ids[None].astype(np.int32), "mask": mask[None].astype(np.float32)})["pooled"][0]


def test_frequent_words_stay_and_rare_ones_come_near(tiny_model_folder: Path, tmp_path: Path) -> None:
    whole, narrow = tiny_model_folder / "text.tflite", tmp_path / "text.tflite"
    narrow_rare_words(whole, narrow, 100)
    tables = {w.shape: w.bits for w in weights(narrow) if w.operation == "EMBEDDING_LOOKUP"}
    assert tables == {(101, 32): 8, (157, 32): 4}
    graphs = [load_graph(path, 1) for path in (whole, narrow)]
    frequent, rare = np.arange(16) * 6, np.arange(16) * 6 + 100
    mask = np.arange(16) < 11
    wanted, got = (pooled(graph, frequent, mask) for graph in graphs)
    assert np.array_equal(wanted, got)
    for ids in (rare, np.where(np.arange(16) % 2, rare, frequent), np.full(16, 99), np.full(16, 100)):
        wanted, got = (pooled(graph, ids, mask) for graph in graphs)
        assert snr_db(wanted, got) >= (200 if ids[0] == 99 else 12)


def test_four_bits_choose_the_scale_of_least_error() -> None:
    rows = np.random.default_rng(0).standard_normal((20, 384)).astype(np.float32)
    numbers, scales = four_bits(rows)
    assert np.abs(numbers).max() <= 7
    plain = np.abs(rows).max(axis=1) / 7
    errors = [
        np.square(np.clip(np.round(rows / s[:, None]), -7, 7) * s[:, None] - rows).sum(1) for s in (scales, plain)
    ]
    assert (errors[0] <= errors[1]).all()
    assert errors[0].sum() < 0.9 * errors[1].sum()


def test_a_graph_without_such_a_table_is_refused(tiny_float_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no table of words in 8 bits"):
        narrow_rare_words(tiny_float_folder / "text.tflite", tmp_path / "x.tflite", 100)


def test_the_edge_folder_of_spark_is_small_and_hears_the_same_words(tmp_path: Path) -> None:
    sizes = copy_for_edge("spark", tmp_path / "edge")
    assert 30 < sum(sizes.values()) <= 40
    check_hashes(tmp_path / "edge")
    tokenizer = Tokenizer(tmp_path / "edge")
    graphs = [load_graph(folder / "text.tflite", 1) for folder in (find_model("spark"), tmp_path / "edge")]
    for prompt in PROMPTS:
        tokens = tokenizer.encode(prompt)
        wanted, got = (pooled(graph, tokens.ids, tokens.mask) for graph in graphs)
        assert 0.995 <= float(wanted @ got) <= 1.0001, prompt


def test_words_can_stay_as_they_are(tmp_path: Path) -> None:
    copy_for_edge("spark", tmp_path / "edge", exact_words=True)
    assert (tmp_path / "edge" / "text.tflite").read_bytes() == (find_model("spark") / "text.tflite").read_bytes()
