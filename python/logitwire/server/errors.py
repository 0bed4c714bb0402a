"""Every error a client sees, in one shape: OpenAI's, with the `error_type` that TGI's clients look for beside it.

Which status an error has is decided by its class in `logitwire.errors`; here it is only written down.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from logitwire.errors import (
    EngineClosedError,
    GrammarError,
    LogitwireError,
    ModelNotFoundError,
    QueueFullError,
    SchemaError,
)

logger = logging.getLogger("logitwire.server")

RETRY_AFTER_S = 1

_CODES: dict[type[Exception], str] = {
    EngineClosedError: "engine_closed",
    GrammarError: "invalid_grammar",
    ModelNotFoundError: "model_not_found",
    QueueFullError: "rate_limit_exceeded",
    SchemaError: "invalid_schema",
}


def answer_error(request: Request, error: Exception) -> Response:
    """The response for an error raised before the first byte."""
    status, body = describe(error)
    note(error, request_id=request.scope.get("logitwire.request_id"))
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if status in (429, 503):
        headers["retry-after"] = str(RETRY_AFTER_S)
    return Response(body, status, headers, "application/json")


def describe(error: Exception) -> tuple[int, bytes]:
    """The status and the JSON body of an error. Nothing is told of errors that were not raised on purpose."""
    if isinstance(error, LogitwireError):
        status, message = error.http_status, str(error)
        if error.hint:
            message = f"{message} ({error.hint})"
    elif isinstance(error, HTTPException):
        status, message = error.status_code, error.detail
    else:
        status, message = 500, "internal error"
    if status == 429:
        kind, error_type = "rate_limit_error", "overloaded"
    elif status < 500:
        kind, error_type = "invalid_request_error", "validation"
    else:
        kind, error_type = "server_error", "overloaded" if status == 503 else "generation"
    fields: dict[str, Any] = {
        "message": message,
        "type": kind,
        "param": getattr(error, "field", None),
        "code": _CODES.get(type(error)),
    }
    return status, msgspec.json.encode({"error": fields, "error_type": error_type})


def note(error: Exception, *, request_id: str | None) -> None:
    """Log an error that is ours. A client's own errors are not logged, and no prompt ever is."""
    if describe(error)[0] == 500:
        logger.error("request %s failed", request_id, exc_info=error)
