"""A folder that every take is also written to, for a sound editor that watches it; nothing there is ever removed."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

from arctone.audio.files import encode_audio
from arctone.errors import UsageError
from arctone.files.atomic import write_to_first_free
from arctone.inference.request import GenerationResult
from arctone.serving.http.take_names import take_name

log = logging.getLogger("arctone.serving.http")


class OutputFolder:
    """Args: folder: must exist and be writable. Raises: UsageError if it is not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            reason = (problem.strerror or str(problem)).lower()
            raise UsageError(f"output_folder {folder} cannot be used: {reason}.", field="output_folder") from None

    def write(self, result: GenerationResult) -> list[str]:
        """Write all takes as WAV files with their records. Called off the event loop.

        Returns: warnings; a sound that the folder does not take is not lost, because clients still get it.
        """
        for item, waveform in enumerate(result.waveforms):
            name = take_name(result.request.prompt, result.seeds[item], "wav")
            try:
                # The same prompt and seed with other settings is another take.
                write_to_first_free(self._names(name), encode_audio(waveform, "wav", metadata=result.to_metadata(item)))
            except (OSError, UsageError) as problem:
                log.error("the output folder does not take %s: %s", name, problem)
                return ["the take could not be written to the server's output folder."]
        return []

    def _names(self, name: str) -> Iterator[Path]:
        yield self._folder / name
        for number in itertools.count(2):
            yield self._folder / f"{Path(name).stem}-{number}.wav"
