"""A worker as a Ray actor: the same orders, one step at a time, on whichever machine has room."""

from __future__ import annotations

from typing import Any

from arctone.serving.http.replicas import Opening, Order, Worker
from arctone.serving.ray.cluster import ray_module


class ActorLink:
    """See `arctone.serving.http.replicas.Link`. The actor holds as many processors as its engine has threads."""

    def __init__(self, opening: Opening) -> None:
        self._ray: Any = ray_module()
        # Neighbours on one machine would share its caches and its memory's bandwidth.
        how = {"num_cpus": opening.threads or 1, "scheduling_strategy": "SPREAD", "max_restarts": 0}
        self._actor = self._ray.remote(Worker).options(**how).remote(opening)

    def ask(self, order: Order, seconds: float) -> Any:
        """See Link."""
        try:
            return self._ray.get(self._actor.answer.remote(order), timeout=seconds)
        except self._ray.exceptions.RayError as problem:
            raise EOFError from problem

    def close(self) -> None:
        """See Link."""
        self._ray.kill(self._actor)
