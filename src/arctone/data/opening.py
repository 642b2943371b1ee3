"""From what a user names to a source of clips: a folder, a manifest, shards, or the generated corpus."""

import difflib
import glob
import re
from pathlib import Path
from typing import Any

from arctone.data.clip import ClipSource
from arctone.data.file_source import FileDefaults, FileSource
from arctone.data.folder import open_folder
from arctone.data.manifest import MANIFEST_SUFFIXES, open_manifest
from arctone.data.subset import restricted
from arctone.data.webdataset import open_webdataset
from arctone.errors import InputFileError, UsageError

CORPUS_PREFIX = "corpus:"
_NUMBERS = ("seed", "size", "version")
_PATHS = ("pack", "sonic_pi", "strums")
_OPTIONS = (*_NUMBERS, *_PATHS, "split")


def open_source(
    spec: str | Path,
    defaults: FileDefaults | None = None,
    *,
    size: int | None = None,
    split: str | None = None,
    limit: int | None = None,
) -> ClipSource:
    """Open a source of clips.

    Args: spec: a folder of sound files; a .csv, .tsv or .jsonl manifest; .tar shards, also as a pattern such as
    `shards/*.tar` or `shards/{00..12}.tar`; or `corpus:` for the generated corpus, with options such as
    `corpus:version=2,seed=1,size=2000,pack=../audio-pack`. defaults: for files that do not say it themselves.
    size: clips of the generated corpus if the spec does not name it; files have the number they have. split, limit:
    only the clips of one split, only the first so many of them.
    Raises: UsageError for an unknown kind or option, InputFileError if it cannot be read.
    """
    text = str(spec)
    if text.startswith(CORPUS_PREFIX):
        source = _open_corpus(text.removeprefix(CORPUS_PREFIX), size)
    else:
        source = _open_files(text, defaults)
    return restricted(source, split=split, limit=limit)


def _open_files(text: str, defaults: FileDefaults | None) -> FileSource:
    path = Path(text)
    if path.is_dir():
        return open_folder(path, defaults)
    suffix = path.suffix.lower()
    if suffix in MANIFEST_SUFFIXES:
        return open_manifest(path, defaults)
    if suffix == ".tar":
        return open_webdataset(_shards(text), defaults)
    if not path.exists():
        raise InputFileError(f"{text} does not exist; name a folder, a manifest, .tar shards or corpus:.")
    kinds = ", ".join(sorted(MANIFEST_SUFFIXES | {".tar"}))
    raise UsageError(f"{text} is no source of clips: name a folder, a file ending in {kinds}, or corpus:.")


def _shards(text: str) -> list[str]:
    match = re.search(r"\{(\d+)\.\.(\d+)\}", text)
    if match:
        first, last = match.groups()
        numbers = range(int(first), int(last) + 1)
        return [text[: match.start()] + f"{n:0{len(first)}d}" + text[match.end() :] for n in numbers]
    if Path(text).exists():
        return [text]
    found = sorted(glob.glob(text))
    if not found:
        raise InputFileError(f"{text} does not exist and matches no file.")
    return found


def _open_corpus(text: str, size: int | None) -> ClipSource:
    from arctone.data.corpus import Corpus

    options: dict[str, Any] = {} if size is None else {"size": size}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        options[name] = _option(name, value)
    return Corpus(**options)


def _option(name: str, value: str) -> int | str:
    if name not in _OPTIONS:
        near = difflib.get_close_matches(name, _OPTIONS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"allowed are {', '.join(_OPTIONS)}."
        raise UsageError(f"corpus: has no option '{name}'; {hint}", field="corpus")
    if name in _PATHS and not Path(value).is_dir():
        raise InputFileError(f"corpus: {name} must be a folder, but '{value}' is none.", field="corpus")
    if name not in _NUMBERS:
        return value
    if not re.fullmatch(r"\d+", value):
        raise UsageError(f"corpus: {name} must be a whole number, 0 or more, got '{value}'.", field="corpus")
    return int(value)
