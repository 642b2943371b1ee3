"""The tools of `arctone mcp`: each answers with the paths of the files that it wrote and their seeds.

Limits are those of the HTTP server. Source: Model Context Protocol, through its official SDK.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

from arctone.audio.files import FORMATS, write_audio
from arctone.audio.tags import read_metadata
from arctone.errors import ArctoneError, InputFileError, UsageError
from arctone.inference.engine import Engine
from arctone.inference.request import GenerationResult, from_metadata
from arctone.inference.source import Source, open_source
from arctone.inference.source_file import read_source
from arctone.serving.http.answers import take_name
from arctone.serving.http.errors import ApiError
from arctone.serving.http.formats import Limits
from arctone.serving.http.requests import model_name, parse_job
from arctone.version import __version__

_MAX_LISTED = 200

Format = Literal["wav", "flac", "ogg", "opus", "mp3"]
Mode = Literal["restyle", "remake", "continue"]
Prompt = Annotated[str, Field(description="What the sound should be, in plain English words.")]
Seconds = Annotated[float | None, Field(description="Length of the sound in seconds; the model's own if not given.")]
Seed = Annotated[int | None, Field(description="Number that fixes the sound; drawn and reported if not given.")]
ModelName = Annotated[str | None, Field(description="A name from list_models; the first one if not given.")]


class SoundFile(BaseModel):
    """A file with a sound."""

    path: str
    seed: int
    duration_seconds: float


class Sounds(BaseModel):
    """The files of one request, the resolved request, and what could not be met exactly."""

    files: list[SoundFile]
    request: dict[str, Any]
    warnings: list[str]


class ModelInfo(BaseModel):
    """A model that can be named in a request."""

    name: str
    sample_rate: int
    channels: int
    default_seconds: float
    max_seconds: float


class ListedSound(BaseModel):
    """A sound in the output folder, and how it was made."""

    path: str
    prompt: str
    seed: int | None


class SoundTools:
    """Generation for one client at a time.

    Args:
        engines: by model name; the first is the default.
        folder: of the files that are written; it is created when needed.
        limits: upper bounds of a request.
    """

    def __init__(self, engines: Mapping[str, Engine], folder: Path, limits: Limits) -> None:
        self._engines, self._folder, self._limits = engines, folder, limits
        self._lock = threading.Lock()

    def models(self) -> list[ModelInfo]:
        """All models, the default one first."""
        return [
            ModelInfo(
                name=name,
                sample_rate=engine.config.sample_rate,
                channels=engine.config.channels,
                default_seconds=engine.defaults.duration_seconds,
                max_seconds=min(engine.defaults.max_duration_seconds, self._limits.max_duration_seconds),
            )
            for name, engine in self._engines.items()
        ]

    def generate(self, values: Mapping[str, Any], format: Format, source: Path | None = None) -> Sounds:
        """Carry out a request and write its files.

        Args:
            values: Fields of a request; those that are None are left out.
            format: Of the files.
            source: The sound to edit.

        Returns:
            The files and their records.

        Raises:
            ToolError: In one sentence, for a request that cannot be met.
        """
        given = {name: value for name, value in values.items() if value is not None}
        try:
            edited = None if source is None else self._open(source, given.get("model"))
            job = parse_job(given, self._engines, self._limits, edited)
            with self._lock:
                result = self._run(job.model, job.request, job.source)
            return self._write(result, format, job.warnings)
        except ArctoneError as problem:
            raise ToolError(str(problem)) from None
        except ApiError as problem:
            raise ToolError(problem.message) from None

    def sounds(self) -> list[ListedSound]:
        """The newest sounds in the output folder, newest first."""
        paths = [path for path in self._folder.glob("*") if path.is_file() and path.suffix[1:] in FORMATS]
        newest = sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)[:_MAX_LISTED]
        return [self._listed(path) for path in newest]

    def _open(self, path: Path, model: Any) -> Source:
        waveform, name = read_source(path.expanduser())
        return open_source(waveform, name, self._engines[model_name(model, self._engines)].config)

    def _run(self, model: str, request: Any, source: Source | None) -> GenerationResult:
        for event in self._engines[model].stream(request, None, source):
            if isinstance(event, GenerationResult):
                return event
        raise AssertionError("the stream ended without a result")

    def _write(self, result: GenerationResult, format: Format, warnings: list[str]) -> Sounds:
        files: list[SoundFile] = []
        self._folder.mkdir(parents=True, exist_ok=True)
        for item, waveform in enumerate(result.waveforms):
            name = take_name(result.request.prompt, result.seeds[item], format)
            path = self._free(name)
            write_audio(path, waveform, metadata=result.to_metadata(item))
            files.append(SoundFile(path=str(path), seed=result.seeds[item], duration_seconds=waveform.duration_seconds))
        request = result.to_record()["request"]
        return Sounds(files=files, request=request, warnings=[*result.warnings, *warnings])

    def _free(self, name: str) -> Path:
        path = self._folder.absolute() / name
        number = 2
        while path.exists() or path.is_symlink():
            path = path.with_name(f"{Path(name).stem}-{number}{path.suffix}")
            number += 1
        return path

    def _listed(self, path: Path) -> ListedSound:
        try:
            record = read_metadata(path)
            request = from_metadata(record) if record else None
        except (InputFileError, UsageError):
            request = None
        prompt, seed = (request.prompt, request.seed) if request else ("", None)
        return ListedSound(path=str(path.absolute()), prompt=prompt, seed=seed)


def build_server(engines: Mapping[str, Engine], folder: Path, limits: Limits | None = None) -> MCPServer[Any]:
    """Build the MCP server.

    Args:
        engines: By model name; the first is the default.
        folder: Of the files that the tools write.
        limits: Upper bounds of a request.

    Returns:
        The server.
    """
    tools = SoundTools(engines, folder, (limits or Limits()).checked())
    server: MCPServer[Any] = MCPServer(
        "arctone",
        version=__version__,
        instructions="Makes sound effects and short music from text on this machine. Tools answer with paths of files.",
        log_level="ERROR",
    )

    @server.tool()
    async def list_models() -> list[ModelInfo]:
        """List the models, the default one first."""
        return tools.models()

    @server.tool()
    async def list_sounds() -> list[ListedSound]:
        """List the sounds that were made so far, newest first."""
        return await anyio.to_thread.run_sync(tools.sounds)

    @server.tool()
    async def generate_sound(
        prompt: Prompt,
        duration_seconds: Seconds = None,
        variations: int = 1,
        seed: Seed = None,
        negative_prompt: str | None = None,
        bpm: float | None = None,
        loop: bool = False,
        steps: int | None = None,
        cfg_scale: float | None = None,
        model: ModelName = None,
        format: Format = "wav",
    ) -> Sounds:
        """Make one or more sounds from text and write them as files."""
        values = {
            "prompt": prompt,
            "duration_seconds": duration_seconds,
            "variations": variations,
            "seed": seed,
            "negative_prompt": negative_prompt,
            "bpm": bpm,
            "loop": loop,
            "steps": steps,
            "cfg_scale": cfg_scale,
            "model": model,
        }
        return await anyio.to_thread.run_sync(tools.generate, values, format)

    @server.tool()
    async def edit_sound(
        path: Annotated[str, Field(description="The sound file to edit; it stays as it is.")],
        prompt: Prompt,
        mode: Annotated[Mode, Field(description="restyle all of it, remake parts, or continue it.")] = "restyle",
        strength: Annotated[float | None, Field(description="For restyle: 0 keeps the sound, 1 forgets it.")] = None,
        regions: Annotated[list[str] | None, Field(description='For remake: parts "A:B" in seconds.')] = None,
        duration_seconds: Seconds = None,
        variations: int = 1,
        seed: Seed = None,
        model: ModelName = None,
        format: Format = "wav",
    ) -> Sounds:
        """Make a new sound from an existing one and write it as a file."""
        if mode == "remake" and not regions:
            raise ToolError('regions must hold parts "A:B" in seconds where mode is remake.')
        values = {
            "prompt": prompt,
            "duration_seconds": duration_seconds,
            "variations": variations,
            "seed": seed,
            "model": model,
            "init_noise_level": strength if mode == "restyle" else None,
            "inpaint": regions if mode == "remake" else None,
            "extend": True if mode == "continue" else None,
        }
        return await anyio.to_thread.run_sync(tools.generate, values, format, Path(path))

    return server
