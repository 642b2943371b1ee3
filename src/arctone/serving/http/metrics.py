"""Prometheus metrics of one application, in a registry of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from arctone.serving.http.jobs import Job

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class Metrics:
    """Counts of requests and jobs. Labels are routes, states and models: never anything that a client makes up.

    Args:
        gauges: values of the moment, by the name after `arctone_`: a description, and a function that reads it.
    """

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "arctone_http_requests", "Answered requests.", ["method", "route", "status"], registry=self.registry
        )
        self._request_seconds = Histogram(
            "arctone_http_request_seconds",
            "Time to the whole answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._accepted = Counter("arctone_jobs_accepted", "Jobs taken on.", ["model"], registry=self.registry)
        self._ended = Counter("arctone_jobs_ended", "Jobs that are final.", ["model", "state"], registry=self.registry)
        self._wait = Histogram(
            "arctone_job_wait_seconds", "Time in the queue.", buckets=_SECONDS, registry=self.registry
        )
        self._run = Histogram(
            "arctone_job_run_seconds", "Time in a worker.", ["model"], buckets=_SECONDS, registry=self.registry
        )
        self._audio = Counter(
            "arctone_audio_seconds", "Seconds of sound that were made.", ["model"], registry=self.registry
        )
        self.registry.register(_Gauges(gauges))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request got its answer."""
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def accepted(self, job: Job) -> None:
        """A job was queued."""
        self._accepted.labels(job.model).inc()

    def ended(self, job: Job) -> None:
        """A job is final."""
        self._ended.labels(job.model, job.state).inc()
        if job.started_at is not None and job.finished_at is not None:
            self._wait.observe(job.started_at - job.accepted_at)
            self._run.labels(job.model).observe(job.finished_at - job.started_at)
        if job.state == "done":
            self._audio.labels(job.model).inc(sum(take.duration_seconds for take in job.takes))

    def text(self) -> bytes:
        """All metrics in the text format."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    """Values read at the moment of asking."""

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, (description, read) in self._gauges.items():
            yield GaugeMetricFamily(f"arctone_{name}", description, value=read())
