"""Events out of a source of bytes: the responses of HTTP clients, files, iterators. Opens nothing and closes nothing.

Clients are told apart by what their responses can do, and none is imported. What matters of each is how to get bytes as
they come: reading "64 KiB" of a live stream must not wait until so many are there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Generic, NoReturn, TypeVar, overload

from logitwire._core import Event, SseParser
from logitwire.errors import LimitError, PayloadError

T = TypeVar("T")

_READ_BYTES = 65_536


class _Reading(Generic[T]):
    """What a parser made of a source so far. `parser` goes on to be used for the next connection."""

    def __init__(self, feed: Callable[[bytes], list[T]], parser: SseParser, *, until_done: bool) -> None:
        self.parser = parser
        self._feed = feed
        self._until_done = until_done
        self._ready: deque[T] = deque()
        self._error: Exception | None = None

    @property
    def last_event_id(self) -> str:
        """What a client that reconnects sends as `Last-Event-ID`."""
        return self.parser.last_event_id

    @property
    def retry_ms(self) -> int | None:
        """How long the server asks to wait before that."""
        return self.parser.retry_ms

    def _read(self, chunk: bytes) -> None:
        try:
            self._ready += self._feed(chunk)
        except (LimitError, PayloadError) as error:
            self._ready += error.events or ()
            self._error = error

    def _at_end(self) -> bool:
        """Whether nothing more is to be read; raises what ended it, once."""
        if self._error is not None:
            error, self._error, self._feed = self._error, None, _nothing
            raise error
        return self._feed is _nothing or (self._until_done and self.parser.done)


class Events(_Reading[T], Iterator[T]):
    """The events of a source, as they come. Made by `events` and `payloads`."""

    def __init__(
        self, chunks: Iterator[bytes], feed: Callable[[bytes], list[T]], parser: SseParser, *, until_done: bool
    ) -> None:
        super().__init__(feed, parser, until_done=until_done)
        self._chunks = chunks

    def __next__(self) -> T:
        while not self._ready:
            if self._at_end():
                raise StopIteration
            self._read(next(self._chunks))
        return self._ready.popleft()


class AsyncEvents(_Reading[T], AsyncIterator[T]):
    """`Events` of an asynchronous source, for `async for`."""

    def __init__(
        self, chunks: AsyncIterator[bytes], feed: Callable[[bytes], list[T]], parser: SseParser, *, until_done: bool
    ) -> None:
        super().__init__(feed, parser, until_done=until_done)
        self._chunks = chunks

    async def __anext__(self) -> T:
        while not self._ready:
            if self._at_end():
                raise StopAsyncIteration
            self._read(await anext(self._chunks))
        return self._ready.popleft()


def _nothing(chunk: bytes) -> list[Any]:
    return []


@overload
def events(source: AsyncIterable[bytes], *, parser: SseParser | None = None) -> AsyncEvents[Event]: ...
@overload
def events(source: Iterable[bytes], *, parser: SseParser | None = None) -> Events[Event]: ...
@overload
def events(source: Any, *, parser: SseParser | None = None) -> Any: ...
def events(source: Any, *, parser: SseParser | None = None) -> Any:
    """The events of a source of bytes, each as soon as it is complete: for `for`, or `async for` if the source is.

    source: a response of httpx, requests, aiohttp, urllib3 or http.client, not read yet (`stream=True`,
        `client.stream(...)`, `preload_content=False`); a binary file; an `asyncio.StreamReader`; or any iterable of
        bytes, asynchronous or not. Compressed responses are read through the client's own decoder.
    parser: one with other bounds, or that of the connection before: it is reset, and keeps `last_event_id`.

    The result has `parser`, `last_event_id` and `retry_ms`. An event the source breaks off in is dropped, as the
    rules have it. Raises LimitError after the events before it, whatever the source raises, and TypeError on what is
    no source.

    >>> source = events([b"id: 7\\ndata: a\\n\\nda", b"ta: b\\n\\n"])
    >>> [event.data for event in source], source.last_event_id
    (['a', 'b'], '7')
    """
    parser = _begin(parser)
    return _reading(source, parser.feed, parser, until_done=False)


@overload
def payloads(source: AsyncIterable[bytes], *, parser: SseParser | None = None) -> AsyncEvents[Any]: ...
@overload
def payloads(source: Iterable[bytes], *, parser: SseParser | None = None) -> Events[Any]: ...
@overload
def payloads(source: Any, *, parser: SseParser | None = None) -> Any: ...
def payloads(source: Any, *, parser: SseParser | None = None) -> Any:
    """The data of each event as the value that its JSON is, up to `[DONE]`; `parser.done` says whether that came.

    source, parser: as of `events`. Raises PayloadError on data that is no JSON, after the payloads before it.

    >>> stream = payloads([b'data: {"a":', b' 1}\\n\\ndata: [DONE]\\n\\n'])
    >>> list(stream), stream.parser.done
    ([{'a': 1}], True)
    """
    parser = _begin(parser)
    return _reading(source, parser.feed_json, parser, until_done=True)


def _begin(parser: SseParser | None) -> SseParser:
    if parser is None:
        return SseParser()
    parser.reset()
    return parser


def _reading(source: Any, feed: Callable[[Any], list[T]], parser: SseParser, *, until_done: bool) -> Any:
    chunks = _chunks(source)
    if hasattr(chunks, "__aiter__"):
        return AsyncEvents(aiter(chunks), feed, parser, until_done=until_done)
    return Events(iter(chunks), feed, parser, until_done=until_done)


def _chunks(source: Any) -> Any:
    """What to iterate over, asynchronously or not."""
    if isinstance(source, bytes | bytearray | memoryview | str):
        _refuse(source, "give its chunks: [data], or the file or response it comes from")
    if hasattr(source, "aiter_bytes"):
        # httpx has one class for both; which of the two it is shows in its stream. One that was read can be either.
        stream = getattr(source, "stream", None)
        is_async = hasattr(stream, "__aiter__") and not hasattr(stream, "__iter__")
        return source.aiter_bytes() if is_async else source.iter_bytes()
    if hasattr(source, "iter_content"):  # requests
        # `iter_content` of a response that is not chunked waits for whole blocks; one that was read has nothing left.
        raw = source.raw
        is_live = hasattr(raw, "read1") and not raw.closed and not getattr(raw, "chunked", False)
        return _urllib3(raw) if is_live else source.iter_content(_READ_BYTES)
    if hasattr(source, "read_chunked"):
        return _urllib3(source)
    if hasattr(source, "at_eof") and hasattr(source, "readuntil"):
        # An asyncio.StreamReader; its own iterator gives lines, and refuses long ones.
        return _read(source)
    if hasattr(source, "read1"):
        return iter(lambda: source.read1(_READ_BYTES), b"")
    if hasattr(source, "readinto"):  # an unbuffered file: read gives what is there
        return iter(lambda: source.read(_READ_BYTES), b"")
    if hasattr(source, "__aiter__") or hasattr(source, "__iter__"):
        return source
    content: Any = getattr(source, "content", None)
    if hasattr(content, "iter_any"):  # aiohttp
        return content.iter_any()
    return _refuse(source, "expected a response of an HTTP client, a binary file, or an iterable of bytes")


async def _read(reader: Any) -> AsyncIterator[bytes]:
    while chunk := await reader.read(_READ_BYTES):
        yield chunk


def _urllib3(response: Any) -> Iterable[bytes]:
    if response.chunked:
        return response.stream(_READ_BYTES, decode_content=True)  # type: ignore[no-any-return]
    return iter(lambda: response.read1(_READ_BYTES, decode_content=True), b"")


def _refuse(source: Any, what: str) -> NoReturn:
    raise TypeError(f"no source of bytes: {type(source).__name__}; {what}")
