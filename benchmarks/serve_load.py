"""What `arctone serve` does under more load than it takes: answers, waiting times, memory, and what batching brings.

    python -m benchmarks.serve_load

Servers are processes of their own; clients are plain sockets of one asyncio program on the same machine, so they take
a part of its processors. Waves of simultaneous requests meet a short queue: some are served, the others receive
a time to retry. Then the same number of requests goes through each way of working, in turn, over and over.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import select
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks import results
from benchmarks.results import JSON

# Ways of working, by what they are called in the table.
WAYS: dict[str, list[str]] = {
    "one by one, all threads": ["--concurrency", "1", "--batch", "1"],
    "batches of 4, all threads": ["--concurrency", "1", "--batch", "4"],
    "two workers of one thread": ["--concurrency", "2", "--threads", "1", "--batch", "1"],
    "two replicas of one thread": ["--replicas", "2", "--threads", "1", "--batch", "1"],
    "two workers, batches of 4": ["--concurrency", "2", "--threads", "1", "--batch", "4"],
}
LOADED = "two workers of one thread"
WARM_UP = 64


class Reply(NamedTuple):
    """A status, its headers, its body, and the seconds from connecting to its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


@dataclass
class Wave:
    """What a wave of requests got."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    num_without_retry_after: int = 0

    def add(self, reply: Reply) -> None:
        """Count one answer."""
        self.statuses[reply.status] += 1
        if reply.status in (200, 202):
            self.latencies.append(reply.seconds)
        elif reply.status in (429, 503) and not reply.headers.get("retry-after", "").isdigit():
            self.num_without_retry_after += 1


async def ask(port: int, method: str, address: str, body: JSON | None = None) -> Reply:
    """One request on a connection of its own."""
    began = time.perf_counter()
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode() + data)
        whole = await reader.read()
    finally:
        writer.close()
    first, _, content = whole.partition(b"\r\n\r\n")
    lines = first.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return Reply(int(lines[0].split()[1]), headers, content, time.perf_counter() - began)


def order(options: argparse.Namespace, seed: int) -> JSON:
    """A short request."""
    return {"prompt": "rain on a tin roof", "seed": seed, "duration_seconds": options.duration, "steps": options.steps}


async def sounds_at_once(port: int, options: argparse.Namespace) -> Wave:
    """All requests at the same moment; each waits for its sound."""
    wave = Wave()
    asked = [ask(port, "POST", "/v1/audio/generations", order(options, seed)) for seed in range(options.requests)]
    for reply in await asyncio.gather(*asked):
        wave.add(reply)
    return wave


async def jobs(port: int, options: argparse.Namespace) -> Wave:
    """The same with jobs: accepted ones are asked for until they are done, and then forgotten."""
    wave = Wave()
    asked = [_job(port, order(options, seed)) for seed in range(options.requests)]
    for reply in await asyncio.gather(*asked):
        wave.add(reply)
    return wave


async def _job(port: int, body: JSON) -> Reply:
    began = time.perf_counter()
    accepted = await ask(port, "POST", "/v1/jobs", body)
    if accepted.status != 202:
        return accepted
    address = f"/v1/jobs/{json.loads(accepted.body)['id']}"
    while True:
        await asyncio.sleep(0.2)
        state = json.loads((await ask(port, "GET", address)).body)["state"]
        if state not in ("queued", "running"):
            break
    take = await ask(port, "GET", f"{address}/takes/0")
    await ask(port, "DELETE", address)
    status = 202 if state == "done" and take.status == 200 else 599
    return Reply(status, take.headers, b"", time.perf_counter() - began)


def watch(port: int) -> None:
    """Ask for /health 20 times a second until standard input ends; print the seconds that each answer took.

    In a process of its own, so that the burst of requests does not hold the watch.
    """
    found = []
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        began = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as answer:
            answer.read()
        found.append(time.perf_counter() - began)
    print(json.dumps(found))


@contextlib.contextmanager
def watched(port: int, seconds: list[float]) -> Iterator[None]:
    """Watch /health meanwhile; what it took is added to the list."""
    command = [sys.executable, "-m", "benchmarks.serve_load", "--watch", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield
        seconds += json.loads(child.communicate()[0])


async def throughput(port: int, num_requests: int, options: argparse.Namespace) -> float:
    """Sounds a second, with as many clients as the queue and the workers hold."""
    waiting = iter(range(num_requests))

    async def client() -> None:
        for seed in waiting:
            reply = await ask(port, "POST", "/v1/audio/generations", order(options, seed))
            if reply.status != 200:
                raise RuntimeError(f"a request of the throughput test got {reply.status}.")

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(16)))
    return num_requests / (time.perf_counter() - began)


@contextlib.contextmanager
def server(words: Sequence[str], options: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """A server; gives its port and its process's number."""
    model = ["--model", options.model] if options.model else []
    command = [sys.executable, "-m", "arctone", "serve", "--port", "0", "--queue", str(options.queue), *words, *model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            match = re.search(r":(\d+)/", child.stdout.readline())
            if match is None:
                raise RuntimeError("the server did not start.")
            yield int(match[1]), child.pid
        finally:
            child.terminate()


def memory_megabytes(process: int) -> float:
    """Resident memory of a process (Linux)."""
    text = Path(f"/proc/{process}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", text)
    return int(match[1]) / 1024 if match else float("nan")


async def load(port: int, process: int, options: argparse.Namespace) -> JSON:
    """Waves of requests: two of sounds at once, two of jobs."""
    warm = argparse.Namespace(**{**vars(options), "requests": WARM_UP})
    for wave in (sounds_at_once, jobs):
        await wave(port, warm)
    memory = {"before": memory_megabytes(process)}
    statuses: Counter[int] = Counter()
    health: list[float] = []
    latencies: dict[str, list[float]] = {"sounds at once": [], "jobs": []}
    num_without = 0
    for number, (name, kind) in enumerate([("sounds at once", sounds_at_once)] * 2 + [("jobs", jobs)] * 2):
        with watched(port, health):
            await asyncio.sleep(1)
            wave = await kind(port, options)
        statuses += wave.statuses
        latencies[name] += wave.latencies
        num_without += wave.num_without_retry_after
        if number in (0, 3):
            await asyncio.sleep(2)
            memory[f"after {(number + 1) * options.requests}"] = memory_megabytes(process)
    return {
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "refusals_without_retry_after": num_without,
        "memory_megabytes": {name: round(value, 1) for name, value in memory.items()},
        "latency_seconds": {name: percentiles(values) for name, values in latencies.items()},
        "health_seconds": percentiles(health),
    }


def percentiles(values: list[float]) -> JSON:
    """Count, p50, p95, p99 and the longest."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    found = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "longest": max(values)}
    return {"count": len(values), **{name: round(value, 4) for name, value in found.items()}}


async def compare(ports: dict[str, int], options: argparse.Namespace) -> JSON:
    """Throughput of every way of working, in turn."""
    found: dict[str, list[float]] = {name: [] for name in ports}
    for port in ports.values():
        await throughput(port, 8, options)
    for _ in range(options.rounds):
        for name, port in ports.items():
            found[name].append(round(await throughput(port, options.sounds, options), 3))
    return {name: {"median": statistics.median(values), "all": values} for name, values in found.items()}


def block(result: JSON) -> str:
    """The tables of the documentation."""
    times = {**result["latency_seconds"], "/health meanwhile": result["health_seconds"]}
    rows = [
        [name, str(cell["count"]), *(f"{cell[key]:.3f}" for key in ("p50", "p95", "p99", "longest"))]
        for name, cell in times.items()
    ]
    base = result["throughput"]["one by one, all threads"]["median"]
    medians = {name: cell["median"] for name, cell in result["throughput"].items()}
    ways = [[name, f"{median:.2f}", f"{median / base:.2f}"] for name, median in medians.items()]
    memory = ", ".join(f"{name} {value:.0f} MB" for name, value in result["memory_megabytes"].items())
    statuses = ", ".join(f"{count} x {status}" for status, count in result["statuses"].items())
    parts = [
        results.table(["seconds", "count", "p50", "p95", "p99", "longest"], rows),
        f"Answers: {statuses}; without Retry-After: {result['refusals_without_retry_after']}. Memory: {memory}.",
        results.table(["way of working", "sounds per second", "times one by one"], ways),
        results.footer(result),
    ]
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and store."""
    options = _parser().parse_args(arguments)
    busy = round(os.getloadavg()[0], 1)
    if options.watch:
        watch(options.watch)
        return
    with contextlib.ExitStack() as stack:
        port, process = stack.enter_context(server(WAYS[LOADED], options))
        loaded = asyncio.run(load(port, process, options))
    print(json.dumps(loaded, indent=1))
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(server(words, options))[0] for name, words in WAYS.items()}
        compared = asyncio.run(compare(ports, options))
    names = ("requests", "queue", "duration", "steps", "sounds", "rounds")
    settings = {name: getattr(options, name) for name in names} | {"load on": LOADED, "load average before": busy}
    print(results.write("serve_load", settings, {**loaded, "throughput": compared}, options.results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve_load", description=__doc__)
    parser.add_argument("--requests", type=int, default=500, help="simultaneous, in each of four waves")
    parser.add_argument("--queue", type=int, default=32)
    parser.add_argument("--duration", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--sounds", type=int, default=48, help="of each way of working in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=None, help="other than the default model of the program")
    parser.add_argument("--watch", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    return parser


if __name__ == "__main__":
    main()
