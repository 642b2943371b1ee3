"""arctone: text-to-audio on a laptop CPU, offline, and everything to train such a model.

The names of `__all__` are the public interface; each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from arctone.version import __version__

if TYPE_CHECKING:
    from arctone.audio.files import read_audio as read_audio
    from arctone.audio.files import write_audio as write_audio
    from arctone.audio.waveform import Waveform as Waveform
    from arctone.errors import ArctoneError as ArctoneError
    from arctone.errors import Cancelled as Cancelled
    from arctone.errors import InputFileError as InputFileError
    from arctone.errors import MemoryLimitError as MemoryLimitError
    from arctone.errors import ModelError as ModelError
    from arctone.errors import UsageError as UsageError
    from arctone.inference.engine import Model as Model
    from arctone.inference.loading import load as load
    from arctone.inference.request import GenerationRequest as GenerationRequest
    from arctone.inference.request import GenerationResult as GenerationResult

_HOMES = {
    "load": "inference.loading",
    "Model": "inference.engine",
    "GenerationRequest": "inference.request",
    "GenerationResult": "inference.request",
    "Waveform": "audio.waveform",
    "read_audio": "audio.files",
    "write_audio": "audio.files",
    "ArctoneError": "errors",
    "Cancelled": "errors",
    "InputFileError": "errors",
    "MemoryLimitError": "errors",
    "ModelError": "errors",
    "UsageError": "errors",
}

__all__ = [
    "ArctoneError",
    "Cancelled",
    "GenerationRequest",
    "GenerationResult",
    "InputFileError",
    "MemoryLimitError",
    "Model",
    "ModelError",
    "UsageError",
    "Waveform",
    "__version__",
    "load",
    "read_audio",
    "write_audio",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'arctone' has no attribute {name!r}")
    return getattr(import_module(f"arctone.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
