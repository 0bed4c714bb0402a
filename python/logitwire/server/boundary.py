"""What surrounds every request: its id, and the last resort for an error nobody foresaw. Knows no routes."""

from __future__ import annotations

import secrets

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import answer_error

_MAX_REQUEST_ID = 128


class Boundary:
    """ASGI middleware. Nothing unforeseen leaves it, but after the first byte: then the connection must break."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _given_id(scope) or secrets.token_hex(16).encode()
        scope["logitwire.request_id"] = request_id.decode()
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            pass
        except Exception as error:
            if started:
                raise
            await answer_error(Request(scope), error)(scope, receive, send_with_id)


def _given_id(scope: Scope) -> bytes | None:
    """The client's own id, if it is one that can be sent back and logged."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and 0 < len(value) <= _MAX_REQUEST_ID and all(0x21 <= b <= 0x7E for b in value):
            return bytes(value)
    return None
