"""Who may come in: token, hosts, origins; and what every answer tells the browser."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from starlette.testclient import TestClient

from arctone.errors import UsageError
from arctone.serving.http.app import create_app
from arctone.serving.http.middleware import checked_origin, is_loopback, token_for
from tests.serving.http.conftest import QUICK, Client, error_of, finished, next_works, order

TOKEN = "a-token-of-some-length"
ADDRESSES = [
    ("GET", "/v1/models"),
    ("GET", "/v1/limits"),
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs/x"),
    ("DELETE", "/v1/jobs/x"),
    ("GET", "/v1/jobs/x/events"),
    ("GET", "/v1/jobs/x/takes/0"),
    ("POST", "/v1/records"),
    ("POST", "/v1/sound-generation"),
    ("POST", "/v1/audio/generations"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/nowhere"),
    ("GET", "//health"),
    ("GET", "/static"),
]


WRONG: list[dict[str, str]] = [
    {},
    {"Authorization": "Bearer wrong"},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": f"Bearer {TOKEN[:-1]}"},
    {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": TOKEN},
    {"Authorization": "Bearer "},
    {"xi-api-key": ""},
]


def test_without_the_token_nothing_is_revealed(serve: Client) -> None:
    client = serve(token=TOKEN)
    for method, address in ADDRESSES:
        for headers in WRONG:
            answer = client.request(method, f"http://127.0.0.1:8000{address}", headers=headers)
            error_of(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"].startswith("Bearer")
    client.headers["Authorization"] = f"Bearer {TOKEN}"
    next_works(client)


@pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {TOKEN}"}, {"xi-api-key": TOKEN}])
def test_with_the_token_everything_works(serve: Client, headers: dict[str, str]) -> None:
    client = serve(token=TOKEN)
    client.headers.update(headers)
    next_works(client)


def test_probes_and_page_need_no_token(serve: Client) -> None:
    client = serve(token=TOKEN)
    assert client.get("/health").status_code == 200
    assert client.get("/ready").status_code == 200
    assert client.get("/").status_code in (200, 404)
    assert client.get("/static/nothing.js").status_code == 404


def test_the_token_is_nowhere_in_the_log(serve: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = serve(token=TOKEN)
    client.get("/v1/models", headers={"Authorization": f"Bearer {TOKEN}"})
    client.get("/v1/models", headers={"Authorization": f"Bearer {TOKEN}x"})
    client.get("/v1/x%0aGET%20/forged")
    assert "/v1/models" in caplog.text
    assert "/v1/x%0aGET" in caplog.text
    assert not any("\n" in record.getMessage() for record in caplog.records)
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "a b",
        "localhost@evil.example",
        "[::1",
        "127.0.0.1:x",
    ],
)
def test_names_that_are_not_ours_are_refused(client: TestClient, host: str) -> None:
    """DNS rebinding: a page of evil.example points that name at 127.0.0.1, but the browser still sends the name."""
    error_of(client.post("/v1/jobs", json=QUICK, headers={"Host": host}), 421, "wrong_host")
    next_works(client)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "192.168.1.7", "studio.lan", "Studio.LAN:80"],
)
def test_own_names_and_addresses_in_figures_are_taken(serve: Client, host: str) -> None:
    assert serve(allowed_hosts=["studio.lan"]).get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:9000"},
        {"Origin": "http://localhost:8000"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_origins_change_nothing(client: TestClient, headers: dict[str, str]) -> None:
    """Also as forms send it, which browsers do without asking first."""
    for how in ({"json": QUICK}, {"content": b'{"prompt": "x"}', "headers": {"Content-Type": "text/plain"}}):
        sent: dict[str, Any] = {**how, "headers": {**how.get("headers", {}), **headers}}  # type: ignore[dict-item]
        answer = client.post("/v1/jobs", **sent)
        error_of(answer, 403, "foreign_origin")
        assert "access-control-allow-origin" not in answer.headers
    assert 'arctone_jobs_accepted_total{model="tiny"}' not in client.get("/metrics").text
    next_works(client)


def test_the_own_page_and_programs_may_come_in(client: TestClient) -> None:
    own = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/v1/jobs", json=QUICK, headers=own).status_code == 202
    assert client.post("/v1/jobs", json=QUICK).status_code == 202


def test_other_origins_come_in_by_name_only(serve: Client) -> None:
    client = serve(cors_origins=["https://app.example"])
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    before = client.options("/v1/jobs", headers={"Origin": "https://app.example", **asked})
    assert before.headers["access-control-allow-origin"] == "https://app.example"
    answer = client.post("/v1/jobs", json=QUICK, headers={"Origin": "https://app.example"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (202, "https://app.example")
    other = client.options("/v1/jobs", headers={"Origin": "https://evil.example", **asked})
    assert "access-control-allow-origin" not in other.headers
    error_of(client.post("/v1/jobs", json=QUICK, headers={"Origin": "https://evil.example"}), 403, "foreign_origin")


def test_every_answer_is_fenced(client: TestClient) -> None:
    job = order(client)
    finished(client, job)
    for address in ("/health", "/nowhere", f"/v1/jobs/{job['id']}/takes/0", "/", "/v1/jobs/x"):
        headers = client.get(address).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "http:" not in policy


def test_request_ids_are_taken_over_if_they_are_harmless(client: TestClient) -> None:
    assert client.get("/health", headers={"X-Request-Id": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
    drawn = {
        client.get("/health", headers={"X-Request-Id": text}).headers["x-request-id"] for text in ("a b", "x" * 65, "")
    }
    assert len(drawn) == 3
    assert all(len(text) == 16 for text in drawn)


@pytest.mark.parametrize(
    "address",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%2fetc/passwd",
        "/static/....//....//etc/passwd",
        "/static/\\..\\app.py",
        "/static/%00",
        "/v1/jobs/..%2f..%2fetc%2fpasswd",
        "/v1/jobs/%2e%2e/takes/0",
    ],
)
def test_no_address_leads_out_of_the_folder(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code in (400, 404), answer.text
    assert "root:" not in answer.text
    assert "import" not in answer.text
    next_works(client)


def test_a_prompt_is_text_wherever_it_appears(client: TestClient) -> None:
    prompt = '<script>alert(1)</script>\r\nX-Evil: 1 "; rm -rf / $(id) ../../x 雨 \u202e'
    job = order(client, prompt=prompt)
    assert job["request"]["prompt"] == prompt
    assert finished(client, job)["state"] == "done"
    answer = client.get(f"/v1/jobs/{job['id']}/takes/0")
    assert "x-evil" not in answer.headers
    name = answer.headers["content-disposition"]
    assert not set("<>/\\\r\n$(") & set(name.removeprefix("attachment; filename*=utf-8''"))
    sound = client.post("/v1/audio/generations", json={**QUICK, "prompt": prompt})
    assert sound.status_code == 200
    assert "x-evil" not in sound.headers


def test_addresses_are_bounded(client: TestClient) -> None:
    error_of(client.get("/v1/models?x=" + "y" * 9000), 414, "too_large")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "CONNECT", "BREW"])
def test_other_methods_are_not_possible(client: TestClient, method: str) -> None:
    error_of(client.request(method, "/v1/jobs"), 405, "method_not_allowed")
    assert f'method="{method}"' not in client.get("/metrics").text or method in ("PUT", "PATCH")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("studio.lan", False),
    ],
)
def test_what_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_token_is_needed_where_others_reach_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("ARCTONE_TOKEN", raising=False)
    assert token_for("127.0.0.1", None, None) is None
    with pytest.raises(UsageError, match=r"host 0\.0\.0\.0 can be reached by others"):
        token_for("0.0.0.0", None, None)
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    assert token_for("0.0.0.0", None, file) == TOKEN
    monkeypatch.setenv("ARCTONE_TOKEN", TOKEN)
    assert token_for("0.0.0.0", None, None) == TOKEN
    with pytest.raises(UsageError, match="cannot both be given"):
        token_for("0.0.0.0", TOKEN, file)
    with pytest.raises(UsageError, match="cannot be read"):
        token_for("0.0.0.0", None, tmp_path / "missing")


@pytest.mark.parametrize("token", ["short", "with a space in it all", "ümlaute-und-anderes-xyz", "x" * 15])
def test_a_weak_token_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(UsageError, match="at least 16") as refused:
        token_for("127.0.0.1", token, None)
    assert token not in str(refused.value)


@pytest.mark.parametrize(
    "origin", ["*", "example.org", "https://example.org/", "https://*.example.org", "file://x", "https://"]
)
def test_an_origin_is_stated_exactly(origin: str) -> None:
    with pytest.raises(UsageError, match="cors_origin must be like"):
        checked_origin(origin)


def test_models_need_different_names_and_workers_the_same_models(model: Any) -> None:
    with pytest.raises(UsageError, match="different names"):
        create_app([model, model])
    with pytest.raises(UsageError, match="at least one model"):
        create_app([])
