"""Where the time of a request goes."""

import time


class Stopwatch:
    """Adds the time of a block, in milliseconds, to an entry."""

    def __init__(self, timings: dict[str, float], name: str) -> None:
        self._timings, self._name = timings, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        passed = 1000 * (time.perf_counter() - self._started)
        self._timings[self._name] = self._timings.get(self._name, 0.0) + passed
