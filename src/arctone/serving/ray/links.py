"""An engine host as a Ray actor: the same commands, one step at a time, on whichever machine has room."""

from __future__ import annotations

from typing import Any

from arctone.serving.http.replicas import Command, EngineHost, HostConfig
from arctone.serving.ray.cluster import ray_module


class ActorLink:
    """See `arctone.serving.http.replicas.Link`. The actor holds as many processors as its engine has threads."""

    def __init__(self, config: HostConfig) -> None:
        self._ray: Any = ray_module()
        # Neighbours on one machine would share its caches and its memory's bandwidth.
        how = {"num_cpus": config.options.threads or 1, "scheduling_strategy": "SPREAD", "max_restarts": 0}
        self._actor = self._ray.remote(EngineHost).options(**how).remote(config)

    def ask(self, command: Command, seconds: float) -> Any:
        """See Link."""
        try:
            return self._ray.get(self._actor.answer.remote(command), timeout=seconds)
        except self._ray.exceptions.RayError as problem:
            raise EOFError from problem

    def close(self) -> None:
        """See Link."""
        self._ray.kill(self._actor)
