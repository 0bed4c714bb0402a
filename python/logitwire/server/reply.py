"""How generations become a response: all at once, or as server-sent events. Either way a client that leaves ends them.

Knows generations and ASGI, and nothing of what a dialect puts into a body or a frame.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from logitwire import sse
from logitwire.errors import EngineError

from .errors import describe, note

if TYPE_CHECKING:
    from logitwire.generation import Generation, Piece

T = TypeVar("T")


class Whole:
    """The response that waits for all generations. `body` makes the JSON of their pieces, one list a generation."""

    def __init__(self, generations: Sequence[Generation], body: Callable[[list[list[Piece]]], bytes]) -> None:
        self._generations = generations
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pieces: list[list[Piece]] = [[] for _ in self._generations]

        async def collect(generation: Generation, into: list[Piece]) -> None:
            while ready := await generation.take():
                into += ready
            _check_finished(generation)

        work = _together(map(collect, self._generations, pieces))
        await _until_client_leaves(receive, work, self._generations)
        await Response(self._body(pieces), media_type="application/json")(scope, receive, send)


class Events:
    """The response that streams. Frames are the engine's own bytes; several generations interleave.

    first, last: what to send before and after them all. The response starts with the first frame, so that what fails
    before it still has its own status.
    After that, an error is one more event, and what would have ended the stream is missing.
    """

    def __init__(
        self,
        generations: Sequence[Generation],
        *,
        first: bytes,
        last: Callable[[], bytes],
        keep_alive_s: float,
        write_stall_s: float,
    ) -> None:
        self._generations = generations
        self._first = first
        self._last = last
        self._keep_alive_s = keep_alive_s
        self._write_stall_s = write_stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = self._stream(
            _EventWriter(send, self._first, write_stall_s=self._write_stall_s), scope.get("logitwire.request_id")
        )
        await _until_client_leaves(receive, work, self._generations)

    async def _stream(self, writer: _EventWriter, request_id: str | None) -> None:
        async def pump(generation: Generation) -> None:
            while ready := await generation.take():
                await writer.write(b"".join(piece.frames for piece in ready))
            _check_finished(generation)

        alive = asyncio.create_task(writer.keep_alive(self._keep_alive_s))
        try:
            await _together(pump(generation) for generation in self._generations)
            ending = self._last()
        except Exception as error:
            if not writer.started or isinstance(error, ClientDisconnect):
                raise
            note(error, request_id=request_id)
            ending = sse.frame(describe(error)[1].decode())
        finally:
            alive.cancel()
        await writer.write(ending, more=False)


class _EventWriter:
    """Writes one event stream, whole messages at a time."""

    def __init__(self, send: Send, first: bytes, *, write_stall_s: float) -> None:
        self.started = False
        self._write_stall_s = write_stall_s
        self._send = send
        self._first = first
        self._lock = asyncio.Lock()
        self._written_at = asyncio.get_running_loop().time()

    async def write(self, frames: bytes, *, more: bool = True) -> None:
        if not frames and more:
            return
        async with self._lock:
            self._written_at = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(self._write_stall_s):
                    if not self.started:
                        self.started = True
                        await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                        frames = self._first + frames
                    await self._send({"type": "http.response.body", "body": frames, "more_body": more})
            except OSError:  # TimeoutError, or in ASGI 2.4 what `send` raises once the client has left.
                raise ClientDisconnect from None

    async def keep_alive(self, interval_s: float) -> None:
        """Write a comment whenever nothing was written for so long."""
        loop = asyncio.get_running_loop()
        while True:
            silent_s = loop.time() - self._written_at
            if silent_s < interval_s:
                await asyncio.sleep(interval_s - silent_s)
            else:
                # Shielded: cut off in the middle, the stream would be neither started nor not.
                await asyncio.shield(self._comment())

    async def _comment(self) -> None:
        with contextlib.suppress(ClientDisconnect):  # Who writes next will see it too.
            await self.write(_KEEP_ALIVE)


_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_KEEP_ALIVE = sse.comment("keep-alive")


def _check_finished(generation: Generation) -> None:
    if generation.finish_reason not in ("stop", "length"):
        raise EngineError("the generation was cancelled")


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of it at once; the first error ends the rest and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _until_client_leaves(receive: Receive, work: Coroutine[Any, Any, T], generations: Sequence[Generation]) -> T:
    """Do the work, and raise ClientDisconnect instead if the client leaves first. Whatever happens, no generation
    runs on. Servers that speak ASGI below 2.4 tell of a client's leaving here only, and a queued request never sends.
    """

    async def left() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(left())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for generation in generations:
            generation.cancel()
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
