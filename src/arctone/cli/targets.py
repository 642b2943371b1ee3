"""Which files the sounds go to, settled and checked before the work begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from arctone.audio.files import FORMATS
from arctone.errors import UsageError
from arctone.files.atomic import refuse_target
from arctone.inference.request import GenerationRequest
from arctone.serving.batch import slug

STDOUT = "-"


def targets(
    output: str | None,
    request: GenerationRequest,
    format: str | None,
    *,
    force: bool,
    seeds: Sequence[int] | None = None,
) -> list[Path]:
    """Choose one path for each variation.

    Args:
        output: Of `-o`: a file, a folder, a name with {n} (from 1) or {seed}, "-", or None for a name made of the
            prompt and the seed.
        request: With its seed fixed.
        format: Of `--format`.
        force: Existing files may be replaced.
        seeds: Of the variations, once they are known; None = before: then all paths that a diverse request may write
            to are checked, and those that are returned stand for them.

    Returns:
        The paths; none for standard output.

    Raises:
        UsageError: In one sentence if a path cannot be written, exists, or would be used twice.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"format must be one of {', '.join(FORMATS)}, got '{format}'.", field="format")
    if output == STDOUT:
        if request.variations > 1:
            raise UsageError(
                f"variations must be 1 when the sound goes to standard output, got {request.variations}.",
                field="variations",
            )
        return []
    pattern = _pattern(output, request, format)
    paths = [_filled(pattern, number, seed) for number, seed in enumerate(_seeds(request, seeds))]
    for path in paths if seeds or not request.diverse else _possible(pattern, request):
        _check(path, format, force)
    return paths


def _seeds(request: GenerationRequest, seeds: Sequence[int] | None) -> Sequence[int]:
    return seeds or [(request.seed or 0) + number for number in range(request.variations)]


def _possible(pattern: str, request: GenerationRequest) -> Iterator[Path]:
    """Every path that a diverse request may write to: any candidate may become any of its sounds."""
    first = request.seed or 0
    for number in range(request.variations):
        seeds = range(first + number, first + request.num_candidates) if "{seed}" in pattern else (first,)
        yield from (_filled(pattern, number, seed) for seed in seeds)


def with_word(path: Path, word: str) -> Path:
    """The same name with a word before its ending: take.wav -> take-redo.wav."""
    return path.with_name(f"{path.stem}-{word}{path.suffix}")


def _pattern(output: str | None, request: GenerationRequest, format: str | None) -> str:
    """The name with {n} and {seed} still in it, different for each variation."""
    name = f"{slug(request.prompt)}-{{seed}}.{format or 'wav'}"
    if output is None:
        return name
    if output.endswith(("/", "\\")) or Path(output).is_dir():
        return str(Path(output) / name)
    if request.variations > 1 and "{n}" not in output and "{seed}" not in output:
        return str(with_word(Path(output), "{n}"))
    return output


def _filled(pattern: str, number: int, seed: int) -> Path:
    return Path(pattern.replace("{n}", str(number + 1)).replace("{seed}", str(seed)))


def _check(path: Path, format: str | None, force: bool) -> None:
    ending = path.suffix.lstrip(".").lower()
    if format is None and ending not in FORMATS:
        raise UsageError(f"{path} ends in '{path.suffix}', but sound is written as {', '.join(FORMATS)}.")
    try:
        refuse_target(path, force=force)
    except UsageError as problem:
        raise UsageError(str(problem).replace("only with force", "only with --force")) from None
