"""A small server for our listening page: it gives out the listeners' folder and takes in their answers."""

import json
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from arctone.errors import ArctoneError, UsageError
from arctone.evaluation.listening.design import Key, read_key
from arctone.evaluation.listening.results import Submission, parse_submission
from arctone.files.atomic import write_atomically

MAX_BODY_BYTES = 1_000_000
RESULTS_PATH = "/results"
_SESSION_LETTERS = frozenset("0123456789abcdef")


class Receiver:
    """Keeps the answers of a test.

    Args:
        key: Key of the listening test.
        folder: Where each listener's answers become a file.
        on_answer: Called with each listener's code.
    """

    def __init__(self, key: Key, folder: Path, on_answer: Callable[[str], None]) -> None:
        self._key, self._folder, self._on_answer = key, folder, on_answer
        self._numbers = count(sum(1 for _ in folder.glob("*.json")))

    def next_number(self) -> int:
        """Numbers of the listeners' orders, from the number of answers that are there already."""
        return next(self._numbers)

    def keep(self, body: bytes) -> Submission:
        """Check and store answers; the same session again replaces its file.

        Args:
            body: Body of a request.

        Returns:
            The answers.

        Raises:
            ArctoneError: if they are not of this test.
        """
        submission = parse_submission(body, self._key)
        if len(submission.session) != 16 or set(submission.session) - _SESSION_LETTERS:
            raise UsageError("the session must be 16 hexadecimal digits.")
        data = msgspec.json.format(msgspec.json.encode(submission), indent=1)
        write_atomically(self._folder / f"{submission.session}.json", data + b"\n", force=True)
        self._on_answer(submission.listener)
        return submission


def make_server(
    test_folder: str | Path,
    results: str | Path,
    host: str = "127.0.0.1",
    port: int = 0,
    on_answer: Callable[[str], None] = lambda listener: None,
) -> ThreadingHTTPServer:
    """Build a server: call serve_forever, later shutdown and server_close.

    Args:
        test_folder: As `build` made it, of the kind "page".
        results: Folder for the answers, made if missing.
        host: Address to listen on.
        port: 0 for any free one.
        on_answer: Called after each stored answer.

    Returns:
        The server, bound to its port.

    Raises:
        InputFileError: without a key.
        UsageError: if the test is no page or the address is taken.
    """
    key = read_key(Path(test_folder))
    if key.kind != "page":
        raise UsageError(f"{test_folder} is a test for webMUSHRA, which brings its own server; only pages are served.")
    folder = Path(results)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UsageError(
            f"results cannot be kept in {folder}: {(problem.strerror or str(problem)).lower()}.", field="results"
        ) from None
    handler = partial(
        _Handler, directory=str(Path(test_folder) / "listeners"), receiver=Receiver(key, folder, on_answer)
    )
    try:
        return ThreadingHTTPServer((host, port), handler)
    except (OSError, OverflowError) as problem:
        reason = (getattr(problem, "strerror", None) or str(problem)).lower()
        raise UsageError(f"host {host}, port {port} cannot be used: {reason}.") from None


class _Handler(SimpleHTTPRequestHandler):
    """Files of one folder, and one address that takes answers."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, receiver: Receiver, **kwargs: Any) -> None:
        self._receiver = receiver
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/receiver.js":
            receiver = json.dumps({"url": RESULTS_PATH.lstrip("/"), "number": self._receiver.next_number()})
            self._reply(HTTPStatus.OK, f"window.ARCTONE_RECEIVER = {receiver};\n", "text/javascript")
        else:
            super().do_GET()

    def do_POST(self) -> None:
        self.close_connection = True  # a refused body is not read, and must not be taken for the next request
        length = self.headers.get("Content-Length", "")
        if urlsplit(self.path).path != RESULTS_PATH:
            self._reply(HTTPStatus.NOT_FOUND, "there is nothing here.\n")
        elif not self._is_from_here():
            self._reply(HTTPStatus.FORBIDDEN, "answers are taken from this test's own page only.\n")
        elif not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            self._reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"answers must have at most {MAX_BODY_BYTES} bytes.\n")
        else:
            self._keep(self.rfile.read(int(length)))

    def _keep(self, body: bytes) -> None:
        try:
            self._receiver.keep(body)
        except ArctoneError as problem:
            self._reply(HTTPStatus.BAD_REQUEST, f"{problem}\n")
        else:
            self._reply(HTTPStatus.CREATED, "received\n")

    def _is_from_here(self) -> bool:
        """Whether a browser says that our own page sends this; other programs do not say anything."""
        origin = self.headers.get("Origin")
        return origin is None or urlsplit(origin).netloc == self.headers.get("Host")

    def _reply(self, status: HTTPStatus, text: str, kind: str = "text/plain") -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close" if self.close_connection else "keep-alive")
        self.end_headers()
        self.wfile.write(data)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def list_directory(self, path: Any) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the command says what arrives."""
