"""Peak memory of `arctone serve` and the latency of /health while large sounds are uploaded, and of trickling clients.

    python -m benchmarks.serve_uploads --model spark

Five FLAC files of a few hundred kB, each 300 s of stereo at 192 kHz, are sent at the same time; then eight clients
trickle bodies, and another one uploads a short sound. Prints JSON; stores nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

NUM_UPLOADS = 5
NUM_TRICKLING = 8
_RATE = 192_000


def quiet_flac(seconds: float) -> bytes:
    """A FLAC file of stereo at 192 kHz: half a second of a tone, then silence, so that it is small."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", _RATE, 2, format="FLAC") as file:
        tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(_RATE // 2) / _RATE)
        file.write(np.repeat(tone[:, None], 2, axis=1))
        silence = np.zeros((_RATE, 2), np.int16)
        for _ in range(int(seconds - 0.5)):
            file.write(silence)
    return buffer.getvalue()


def post_job(url: str, audio: bytes) -> int:
    """Upload a sound to be edited. Returns: the status."""
    request = json.dumps({"prompt": "rain", "steps": 1, "cfg_scale": 1, "init_noise_level": 0.5})
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n' + request.encode() + b"\r\n",
        b'--x\r\nContent-Disposition: form-data; name="audio"; filename="a.flac"\r\n\r\n' + audio + b"\r\n--x--\r\n",
    ]
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{url}v1/jobs", b"".join(parts), headers), timeout=900
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as problem:
        return int(problem.code)


class HealthWatch(threading.Thread):
    """Asks for /health every 20 ms and keeps the latencies in seconds."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.latencies: list[float] = []
        self._url, self._ended = url, threading.Event()

    def run(self) -> None:
        """See Thread."""
        while not self._ended.wait(0.02):
            began = time.perf_counter()
            urllib.request.urlopen(f"{self._url}health", timeout=60).read()
            self.latencies.append(time.perf_counter() - began)

    def end(self) -> list[float]:
        """Stop, and return the latencies."""
        self._ended.set()
        self.join()
        return self.latencies


def memory_mb(pid: int, name: str) -> float:
    """A value of /proc/PID/status in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(name)


def uploads_at_once(url: str, pid: int, audio: bytes) -> dict[str, Any]:
    """Send the same large sound several times at once."""
    before = memory_mb(pid, "VmRSS")
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(post_job(url, audio))) for _ in range(NUM_UPLOADS)]
    watch = HealthWatch(url)
    watch.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until_idle(url)
    latencies = watch.end()
    return {
        "upload_kb": round(len(audio) / 1000),
        "statuses": sorted(statuses),
        "rss_before_mb": round(before),
        "peak_mb": round(memory_mb(pid, "VmHWM")),
        "rss_after_mb": round(memory_mb(pid, "VmRSS")),
        "health_max_seconds": round(max(latencies), 3),
        "health_median_seconds": round(float(np.median(latencies)), 4),
    }


def trickling(url: str, port: int) -> dict[str, Any]:
    """How much longer a short upload takes while other bodies trickle."""
    short = io.BytesIO()
    soundfile.write(short, 0.1 * np.random.default_rng(1).standard_normal((44_100, 2)), 44_100, format="WAV")

    def seconds() -> float:
        began = time.perf_counter()
        assert post_job(url, short.getvalue()) == 202
        return time.perf_counter() - began

    alone = min(seconds() for _ in range(3))
    head = b"POST /v1/records HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\nRIFF"
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(NUM_TRICKLING)]
    for one in slow:
        one.sendall(head)
    time.sleep(0.5)
    among = max(seconds() for _ in range(3))
    for one in slow:
        one.close()
    return {"alone_seconds": round(alone, 3), "among_trickling_seconds": round(among, 3)}


def wait_until_idle(url: str) -> None:
    """Return once no job waits or runs."""
    while True:
        state = json.loads(urllib.request.urlopen(f"{url}ready", timeout=60).read())
        if state["waiting"] + state["running"] == 0:
            return
        time.sleep(0.1)


def main() -> None:
    """Measure one server."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="spark")
    parser.add_argument("--seconds", type=float, default=300.0, help="length of the large sound")
    options = parser.parse_args()
    command = [sys.executable, "-m", "arctone", "serve", "--port", "0", "--threads", "1", "-m", options.model]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        port = int(url.rstrip("/").rpartition(":")[2])
        while True:
            try:
                wait_until_idle(url)
                break
            except OSError:
                time.sleep(0.1)
        found = {
            "uploads_at_once": uploads_at_once(url, server.pid, quiet_flac(options.seconds)),
            "trickling": trickling(url, port),
        }
        print(json.dumps(found, indent=2))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
