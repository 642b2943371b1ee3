"""The help pages: quick, light, complete, and in step with the commands."""

import json
import subprocess
import sys

import pytest

from arctone.cli.main import Commands
from arctone.inference.request import FIELDS
from arctone.version import __version__

LIST_MODULES = """
import json, sys
from arctone.cli.main import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
HEAVY = {
    "ai_edge_litert",
    "jax",
    "lightning_fabric",
    "msgspec",
    "numpy",
    "rich",
    "soundfile",
    "soxr",
    "tokenizers",
    "torch",
}


def modules_of(*words: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", LIST_MODULES, *words], capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    return set(modules)


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_the_front_page_imports_nothing_heavy(words):
    assert modules_of(*words) & HEAVY == set()


@pytest.mark.parametrize("command", ["generate", "redo", "pick", "models", "train", "data", "listen"])
def test_help_of_a_command_loads_neither_engine_nor_torch(command):
    assert modules_of(command, "--help") & {"ai_edge_litert", "torch", "tokenizers", "lightning_fabric"} == set()


@pytest.mark.parametrize("name", Commands.entries)
def test_the_list_says_what_each_page_says(arctone, name):
    done = arctone(name, "--help")
    assert done.code == 0
    assert Commands.entries[name].summary in " ".join(done.out.split())


@pytest.mark.parametrize("name", Commands.entries)
def test_the_front_page_lists_every_command(arctone, name):
    assert f"  {name} " in arctone("--help").out


def test_every_field_of_a_request_is_an_option_with_its_help(arctone):
    page = " ".join(arctone("generate", "--help").out.split())
    for field in FIELDS[1:]:
        if field.name == "extend":  # said by --continue FILE
            continue
        assert f"--{field.name.replace('_', '-')}" in page
        assert field.help in page


def test_a_key_that_is_none_is_refused(arctone):
    done = arctone("generate", "rain", "--key", "C")
    assert done.code == 2
    assert "key must be one such as" in done.stderr


def test_version(arctone):
    assert arctone("--version").out == f"arctone {__version__}\n"


def test_no_words_show_the_help(arctone):
    done = arctone()
    assert "Usage: arctone" in done.out + done.stderr


def test_generate_alone_shows_its_help(arctone):
    done = arctone("generate")
    assert (done.code, done.stderr) == (0, "")
    assert done.out == arctone("generate", "--help").out
