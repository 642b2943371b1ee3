"""The server: it gives out one folder, takes answers of its own test, and nothing else."""

import http.client
import json
import threading
from collections.abc import Iterator

import pytest

from arctone.errors import InputFileError, UsageError
from arctone.evaluation.listening.results import read_results
from arctone.evaluation.listening.serve import make_server


@pytest.fixture
def arrived() -> list[str]:
    return []


@pytest.fixture
def port(page_test, tmp_path, arrived) -> Iterator[int]:
    server = make_server(page_test.folder, tmp_path / "answers", on_answer=arrived.append)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def ask(port, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, data


def submission(key, **changes):
    answers = [{"trial": q.trial, "dimension": q.dimension, "rating": 3} for q in key.questions]
    whole = {"test": key.test, "listener": "ann", "session": "0123456789abcdef", "order": 0, "answers": answers}
    return json.dumps(whole | changes).encode()


def test_it_serves_the_page_and_not_the_key(port, page_test):
    status, data = ask(port, "GET", "/")
    assert (status, data) == (200, (page_test.folder / "listeners/index.html").read_bytes())
    name = page_test.key.stimuli[0].name
    status, data = ask(port, "GET", f"/audio/{name}.wav")
    assert data == (page_test.folder / f"listeners/audio/{name}.wav").read_bytes()
    for path in ("/key/key.json", "/../key/key.json", "/%2e%2e/key/key.json", "//key/key.json", "/audio/"):
        assert ask(port, "GET", path)[0] == 404


def test_each_listener_gets_the_next_number(port):
    scripts = [ask(port, "GET", "/receiver.js")[1].decode() for _ in range(3)]
    numbers = [json.loads(text.partition(" = ")[2].rstrip(";\n")) for text in scripts]
    assert numbers == [{"url": "results", "number": n} for n in range(3)]


def test_answers_become_a_file_that_the_analysis_reads(port, page_test, tmp_path, arrived):
    assert ask(port, "POST", "/results", submission(page_test.key)) == (201, b"received\n")
    assert ask(port, "POST", "/results", submission(page_test.key))[0] == 201  # sent again after a lost reply
    assert [path.name for path in (tmp_path / "answers").iterdir()] == ["0123456789abcdef.json"]
    results = read_results([tmp_path / "answers"], page_test.key)
    assert len(results.ratings) == len(page_test.key.questions)
    assert results.warnings == ()
    assert arrived == ["ann", "ann"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": "t000"}, "answers of the test 't000'"),
        ({"session": "../../etc/passwd"}, "16 hexadecimal digits"),
        ({"listener": " "}, "without a listener code"),
        ({"answers": [{"trial": "x", "dimension": "quality", "rating": 3}]}, "not in the key"),
        ({"extra": 1}, "unknown field"),
    ],
)
def test_answers_that_do_not_belong_here_are_refused(port, page_test, tmp_path, changes, message):
    status, reply = ask(port, "POST", "/results", submission(page_test.key, **changes))
    assert status == 400
    assert message in reply.decode()
    assert list((tmp_path / "answers").iterdir()) == []


def test_other_requests_are_refused(port, page_test, tmp_path):
    body = submission(page_test.key)
    assert ask(port, "POST", "/elsewhere", body)[0] == 404
    assert ask(port, "POST", "/results", body, Origin="http://elsewhere.example")[0] == 403
    assert ask(port, "POST", "/results", b"no json")[0] == 400
    assert ask(port, "POST", "/results", b"", **{"Content-Length": "1000001"})[0] == 413
    assert ask(port, "PUT", "/results", body)[0] == 501
    assert list((tmp_path / "answers").iterdir()) == []
    assert ask(port, "POST", "/results", body, Origin=f"http://127.0.0.1:{port}")[0] == 201


def test_what_cannot_be_served_is_refused(page_test, mushra_test, tmp_path, port):
    with pytest.raises(UsageError, match="is a test for webMUSHRA"):
        make_server(mushra_test.folder, tmp_path / "x")
    with pytest.raises(InputFileError, match=r"key\.json does not exist"):
        make_server(tmp_path, tmp_path / "x")
    with pytest.raises(UsageError, match=f"port {port} cannot be used"):
        make_server(page_test.folder, tmp_path / "x", port=port)
