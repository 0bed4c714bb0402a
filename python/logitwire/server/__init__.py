"""An ASGI app that serves one engine in OpenAI's dialect.

    app = logitwire.server.create_app(engine)
    parent.mount("/llm", app)          # or: uvicorn.run(app)

What lives where: `requests` the shapes of bodies and their limits, `body` bytes to those shapes, `openai` the routes
and what they ask of the engine, `answer` and `logprobs` the JSON that comes back, `reply` its way to a client that may
leave, `errors` the one error body, `boundary` what surrounds every request.

Nothing here decodes, samples or frames: that is the engine's. Needs the `server` extra (starlette, msgspec).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from logitwire.errors import LogitwireError

from .boundary import Boundary
from .errors import answer_error
from .openai import OpenAI

if TYPE_CHECKING:
    from logitwire.engine import Engine

__all__ = ["create_app"]


def create_app(
    engine: Engine, *, max_body_bytes: int = 8 * 1024 * 1024, keep_alive_s: float = 15.0, write_stall_s: float = 30.0
) -> Starlette:
    """An ASGI app over `engine`, to run by itself or mounted in another app under any prefix.

    The engine is started with the first request, since a mounted app gets no lifespan; closing it is its owner's.

    max_body_bytes: a request body beyond it is answered with 413.
    keep_alive_s: a stream silent for so long, queueing included, gets a comment that clients ignore.
    write_stall_s: a client that reads nothing for so long has left; until then it keeps its place in the batch.
    """
    app = Starlette(
        routes=OpenAI(
            engine, max_body_bytes=max_body_bytes, keep_alive_s=keep_alive_s, write_stall_s=write_stall_s
        ).routes(),
        middleware=[Middleware(Boundary)],
        exception_handlers={HTTPException: answer_error, LogitwireError: answer_error},
    )
    app.router.redirect_slashes = False
    return app
