"""`arctone bench`: how fast this machine makes sound, in half a minute."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arctone.cli import doctor
from arctone.cli.options import (
    CompiledOption,
    DeviceOption,
    EngineOption,
    ModelOption,
    PrecisionOption,
    open_model,
    request_from,
    with_request_options,
)
from arctone.cli.output import JsonOption, print_json, print_rows, waiting
from arctone.inference.load_options import LoadOptions
from arctone.inference.request import GenerationRequest, GenerationResult
from arctone.version import __version__

if TYPE_CHECKING:
    from arctone.inference.engine import Model

EXAMPLES = """\b
Examples:
  arctone bench
  arctone bench -d 8 --steps 50
  arctone bench --threads 1 --json

\b
The first run loads the model; the others show what each further sound costs."""

PROMPT = "funky drum loop, 120 BPM"

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog=EXAMPLES)
@with_request_options
def bench(
    options: dict[str, str],
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=100, help="Runs after the first.")] = 5,
    model: ModelOption = "spark",
    engine: EngineOption = "auto",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    compiled: CompiledOption = False,
    json: JsonOption = False,
) -> None:
    """Measure how fast this machine makes sound."""
    request = request_from(PROMPT, {"seed": "0", **options})

    how = LoadOptions(engine=engine, threads=request.threads, device=device, precision=precision, compiled=compiled)
    with waiting("measuring", json):
        record = measured(request, repeats, lambda: open_model(model, how))
    if json:
        print_json(record)
    else:
        _print(record)


def measured(request: GenerationRequest, repeats: int, opened: Callable[[], Model]) -> dict[str, Any]:
    """Open the model and generate, then `repeats` times more; times in ms, medians over the warm runs."""
    start = time.perf_counter()
    loaded = opened()
    cold = loaded.engine.generate(request)
    cold_ms = 1000 * (time.perf_counter() - start)
    runs = [_timed(lambda: loaded.engine.generate(request)) for _ in range(repeats)]
    warm_ms = statistics.median(milliseconds for milliseconds, _ in runs)
    sound_seconds = sum(waveform.duration_seconds for waveform in cold.waveforms)
    return {
        "machine": doctor.sentence(),
        "version": __version__,
        "model": cold.model_name,
        "engine": cold.engine,
        "precision": cold.precision,
        "threads": cold.request.threads,
        "steps": cold.request.steps,
        "sound_seconds": round(sound_seconds, 3),
        "repeats": repeats,
        "cold_ms": round(cold_ms, 1),
        "warm_ms": round(warm_ms, 1),
        "stages_ms": _stages([result for _, result in runs]),
        "times_real_time": round(1000 * sound_seconds / warm_ms, 1),
        "peak_memory_mb": doctor.peak_memory_mb(),
    }


def _timed(work: Any) -> tuple[float, GenerationResult]:
    start = time.perf_counter()
    result = work()
    return 1000 * (time.perf_counter() - start), result


def _stages(results: list[GenerationResult]) -> dict[str, float]:
    names = results[0].timings_ms
    return {name: round(statistics.median(r.timings_ms.get(name, 0.0) for r in results), 1) for name in names}


def _print(record: dict[str, Any]) -> None:
    print(record["machine"])
    sound = f"{record['sound_seconds']:.2f} s of sound, {record['steps']} steps, {record['threads']} threads"
    print(f"{record['model']} on the {record['engine']} engine: {sound}\n")
    rows = [["first sound, loading included", _ms(record["cold_ms"])]]
    rows += [[f"each further sound (median of {record['repeats']})", _ms(record["warm_ms"])]]
    rows += [[f"  {name}", _ms(value)] for name, value in record["stages_ms"].items()]
    print_rows(rows)
    print(f"\n{record['times_real_time']:g} times faster than it plays")
    if record["peak_memory_mb"] is not None:
        print(f"at most {record['peak_memory_mb']:,} MB of memory in use, program and libraries included")


def _ms(value: float) -> str:
    return f"{value:8.1f} ms"
