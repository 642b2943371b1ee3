"""The description and the server agree: schemathesis sends what the description allows and what it forbids."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode

from arctone.inference.engine import Model
from arctone.serving.http.app import create_app
from arctone.serving.http.formats import Limits
from arctone.serving.http.openapi import document
from arctone.serving.http.process import bound_socket, server_of

# Small sounds, so that every order that is allowed is also carried out.
SMALL = Limits(
    max_steps=2, max_variations=2, max_duration_seconds=0.6, max_total_seconds=1.2, max_queue=1_000, retention_jobs=50
)


@pytest.fixture(scope="module")
def address(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    app = create_app(model, SMALL, folder=tmp_path_factory.mktemp("takes"))
    server, listener = server_of(app), bound_socket("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def api(address: str) -> Any:
    return schemathesis.openapi.from_url(f"{address}/openapi.json")


load_all_checks()
# What fits the schema can still contradict itself (bars without a tempo, a length that is too long for 16 sounds).
CHOSEN = [check for check in CHECKS.get_all() if check.__name__ != "positive_data_acceptance"]
OPERATIONS = [
    (path, method)
    for path, item in document(SMALL, ["tiny"], needs_token=False)["paths"].items()
    for method in item
    if method in ("get", "post", "delete")
]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_one_that_the_description_allows(
    api: Any, path: str, method: str, mode: GenerationMode
) -> None:
    """Also for what it forbids, which must be refused as the client's fault."""
    statuses: Counter[int] = Counter()

    @settings(max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=api[path][method].as_strategy(generation_mode=mode))
    def hold(case: Any) -> None:
        if isinstance(case.body, dict) and mode is GenerationMode.POSITIVE:
            case.body.pop("bars", None)  # needs a tempo that makes it as long as duration_seconds, if that is given
        statuses[case.call_and_validate(checks=CHOSEN).status_code] += 1

    with contextlib.suppress(Unsatisfiable):  # without parameters and body there is nothing to forbid
        hold()
    if mode is GenerationMode.POSITIVE and "{" not in path and path != "/v1/records":
        assert statuses[200] + statuses[202] > 0, statuses


def test_what_follows_from_an_order_is_as_described(api: Any) -> None:
    """Orders, and then what the description's links lead to: the job, its events, its end."""

    class Machine(api.as_state_machine()):  # type: ignore[misc]
        def validate_response(self, response: Any, case: Any, *_: Any, **__: Any) -> None:
            case.validate_response(response, checks=CHOSEN)

    Machine.run(
        settings=settings(
            max_examples=4,
            stateful_step_count=6,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
    )
