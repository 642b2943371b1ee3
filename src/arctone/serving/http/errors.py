"""Errors as clients see them: one shape, one sentence, never a traceback or a path."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from arctone.errors import ArctoneError, Cancelled, InputFileError, MemoryLimitError, TooLongError, UsageError
from arctone.serving.http.answers import ErrorAnswer, ErrorDetail, json_response

log = logging.getLogger("arctone.serving.http")
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)


class ApiError(Exception):
    """A failure with its HTTP status.

    Args:
        status: 4xx or 5xx.
        type: a stable word for programs.
        message: one sentence for people.
        parameter: the field or part at fault.
        headers: such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        type: str,
        message: str,
        parameter: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.type, self.message, self.parameter = status, type, message, parameter
        self.headers = dict(headers or {})

    def detail(self, request_id: str) -> ErrorDetail:
        """The error as part of an answer."""
        return ErrorDetail(type=self.type, message=self.message, parameter=self.parameter, request_id=request_id)

    def response(self, request_id: str) -> Response:
        """The whole answer."""
        return json_response(ErrorAnswer(error=self.detail(request_id)), self.status, self.headers)


def as_api_error(problem: BaseException) -> ApiError:
    """Any exception as an error for clients; an unforeseen one tells nothing of the inside."""
    if isinstance(problem, ApiError):
        return problem
    if isinstance(problem, UsageError):
        return ApiError(400, "invalid_request", str(problem), problem.field)
    if isinstance(problem, TooLongError):
        return ApiError(413, "too_large", str(problem), problem.field or "audio")
    if isinstance(problem, InputFileError):
        return ApiError(422, "invalid_audio", str(problem), problem.field or "audio")
    if isinstance(problem, Cancelled):
        return ApiError(409, "cancelled", str(problem))
    if isinstance(problem, MemoryLimitError):
        return ApiError(413, "too_large", str(problem), problem.field)
    if isinstance(problem, OSError) and problem.errno in _DISK:
        return ApiError(507, "storage_error", "the server's disk cannot store the upload; nothing was kept.")
    if isinstance(problem, ArctoneError):
        return ApiError(500, "model_error", "the model could not make this sound; the server's log says why.")
    return ApiError(500, "internal_error", "the server failed at this request; its log says why.")


async def answer_error(request: Request, problem: Exception) -> Response:
    """Exception handler of the application."""
    error = as_api_error(problem)
    if error.status >= 500 and not isinstance(problem, ApiError):
        log.error("request %s failed", request_id(request), exc_info=problem)
    return error.response(request_id(request))


async def answer_http_error(request: Request, problem: Exception) -> Response:
    """Exception handler for the framework's own refusals: unknown paths and methods, broken multipart bodies."""
    status = int(getattr(problem, "status_code", 500))
    types = {404: "not_found", 405: "method_not_allowed"}
    sentences = {
        404: "there is nothing at this address.",
        405: f"{request.method} is not possible at this address.",
    }
    detail = str(getattr(problem, "detail", "")).rstrip(".").lower()
    message = sentences.get(status, f"the request cannot be read: {detail}.")
    error = ApiError(status, types.get(status, "invalid_request"), message, headers=getattr(problem, "headers", None))
    return error.response(request_id(request))


def request_id(request: Request) -> str:
    """The id of this request in the log."""
    return str(request.scope.get("request_id", ""))
