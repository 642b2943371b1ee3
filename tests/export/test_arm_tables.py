"""The Arm script's reading of QEMU's log and of a library's symbols, and the tables of the edge benchmarks."""

import subprocess
from pathlib import Path

import pytest

from benchmarks import sao_edge
from benchmarks.arm import table
from benchmarks.arm.kernels import Mapping, _segments, executed, mappings, translated

MACHINE = {"processor": "P", "cores": 2, "memory_gib": 8, "system": "Linux", "python": "3"}
RESULT = {"date": "d", "version": "0", "command": "c", "machine": MACHINE}

LOG = """----------------
IN: main
0x00001000:  d503233f  paciasp
0x00001004:  a9bf7bfd  stp      x29, x30, [sp, #-0x10]!

----------------
IN:
0x00002010:  d65f03c0  ret
"""


def test_blocks_are_known_by_their_first_address(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG)
    assert translated(tmp_path / "log") == {0x1000, 0x2010}


def test_mappings_are_read_from_what_the_probe_prints() -> None:
    line = "map 7f00-8f00 r-xp 002c1000 fe:00 5440756          /opt/site/libx.so"
    assert mappings([line, "nothing", "00-10 rw-p 00000000 00:00 0 [heap]"])[0] == Mapping(
        0x7F00, 0x8F00, 0x2C1000, "/opt/site/libx.so"
    )


def test_an_address_is_named_by_the_function_around_it() -> None:
    """A library of this machine, as if it lay at 0x10000000."""
    library = Path(pytest.importorskip("ai_edge_litert").__file__).parent / "libpywrap_litert_common.so"
    listed = subprocess.run(["nm", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=2) for line in listed.splitlines()]
    address = next(int(place, 16) for place, kind, name in lines if name == "xnn_create_softmax_nc_f32")
    offset, virtual, _ = next(s for s in _segments(library) if s[1] <= address < s[1] + s[2])
    piece = Mapping(0x10000000, 0x20000000, 0, str(library))
    place = piece.start + address - virtual + offset
    assert "xnn_create_softmax_nc_f32" in executed(library, [piece], {place + 4})
    assert executed(library, [piece], {0x5}) == set()


def test_the_arm_table_names_the_kernels() -> None:
    row = {
        "model": "tiny",
        "processor": "max",
        "snr_db": {"a": 60.25, "b": 41.04},
        "kleidiai": ["kai_run_x", "kai_run_y"],
    }
    text = table.block({**RESULT, "settings": {}, "rows": [row, {**row, "processor": "other", "kleidiai": []}]})
    assert "| tiny, max (SME) | 41.0 | `kai_run_x`<br>`kai_run_y` |" in text
    assert "| tiny, other | 41.0 | none |" in text


@pytest.mark.parametrize(
    ("same", "limit", "said"),
    [
        (
            True,
            "group",
            [
                "equal in every sample",
                "512 MB of memory in all, mapped files included",
                "took 5.50 s;",
            ],
        ),
        (False, "RLIMIT_DATA", ["NOT equal", "512 MB of memory of its own (RLIMIT_DATA) the process took 5.50 s;"]),
    ],
)
def test_the_edge_table_shows_the_median_and_the_most_memory(same: bool, limit: str, said: list[str]) -> None:
    row = {
        "model": "sao",
        "folder_mb": 532.4,
        "first_seconds": 6.0,
        "seconds": [4.0, 9.0, 5.0],
        "stages_ms": {"opening": 300.0, "text": 20.0, "sampling": 1200.0, "decoding": 2500.0},
        "peak_mb": 454.2,
        "anonymous_mb": 233.1,
        "limit": limit,
        "limited_seconds": 5.5,
        "same_sound": same,
        "text_snr_db": 7.1,
        "velocity_snr_db": 26.4,
        "decoder_snr_db": 36.0,
    }
    text = sao_edge.block({**RESULT, "settings": {"limit_mb": 512.0}, "rows": [row]})
    assert "| sao | 532 | 5.00 | 0.02 | 1.20 | 2.50 | 6.00 | 454 (233 anonymous) |" in text
    assert all(words in text for words in said)
