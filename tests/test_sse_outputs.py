"""The parser's three outputs against each other, the bounds of each, and sources of bytes of every kind."""

from __future__ import annotations

import asyncio
import io
import json
import random
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from conftest import vectors
from hypothesis import given
from hypothesis import strategies as st
from reference import sse as reference
from test_sse import CASES, PIECES, cut, stream_of

import logitwire as lw


def three(chunks: list[bytes]) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """The events by `feed`, and by `feed_bytes` with the data decoded."""
    texts, slices = lw.sse.Parser(), lw.sse.Parser()
    events = [(e.type, e.data, e.id) for chunk in chunks for e in texts.feed(chunk)]
    found = []
    for chunk in chunks:
        for event in slices.feed_bytes(chunk):
            data = b"\n".join(event.parts)
            assert bytes(event.data) == data
            assert all(part.readonly for part in event.parts)
            found.append((event.type, data.decode("utf-8", "replace"), event.id))
    assert (texts.last_event_id, texts.retry_ms, texts.done) == (slices.last_event_id, slices.retry_ms, slices.done)
    return events, found


@pytest.mark.parametrize("case", CASES)
def test_slices_are_the_events(case: dict[str, Any]) -> None:
    data, rng = stream_of(case), random.Random(case["name"])
    for chunks in ([data], [data[i : i + 1] for i in range(len(data))], *(cut(data, rng) for _ in range(10))):
        events, slices = three(chunks)
        assert slices == events == [tuple(e) for e in reference.parse(data).events]


@given(st.lists(st.sampled_from(PIECES), max_size=25), st.randoms(use_true_random=False))
def test_slices_are_the_events_of_any_stream(pieces: list[bytes], rng: random.Random) -> None:
    events, slices = three(cut(b"".join(pieces), rng))
    assert slices == events


@pytest.mark.parametrize("kind", [bytes, bytearray, lambda data: memoryview(bytearray(data))])
def test_nothing_inside_a_chunk_is_copied(kind: Callable[[bytes], Any]) -> None:
    chunk = kind(b"event: e\ndata: one\n\ndata: two\ndata\ndata:three\r\n\r\ndata: cut")
    owner = chunk.obj if isinstance(chunk, memoryview) else chunk
    parser = lw.sse.Parser()
    one, many = parser.feed_bytes(chunk)
    assert [bytes(part) for event in (one, many) for part in event.parts] == [b"one", b"two", b"", b"three"]
    assert all(part.obj is owner for event in (one, many) for part in event.parts)
    assert one.data is one.parts[0]
    assert many.data == b"two\n\nthree"
    end = b" here\ndata: whole\n\n"
    [last] = parser.feed_bytes(end)
    assert [bytes(part) for part in last.parts] == [b"cut here", b"whole"]
    assert last.parts[1].obj is end
    if isinstance(chunk, bytearray):
        with pytest.raises(BufferError):  # slices hold it
            chunk.append(0)


def test_a_slice_outlives_its_parser_and_chunk() -> None:
    [event] = lw.sse.Parser().feed_bytes(bytearray(b"data: " + b"x" * 100_000 + b"\n\n"))
    assert bytes(event.data) == b"x" * 100_000


def test_slices_of_wider_items_are_bytes() -> None:
    import array

    [event] = lw.sse.Parser().feed_bytes(array.array("H", b"data: ab\n\n"))
    assert bytes(event.data) == b"ab"


def test_names_and_ids_are_made_once() -> None:
    first, second = lw.sse.Parser().feed(b"id: an-id\nevent: a-type\ndata: 1\n\nevent: a-type\ndata: 2\n\n")
    assert first.type is second.type
    assert first.id is second.id


# -- JSON --------------------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(values, max_size=5), st.booleans(), st.randoms(use_true_random=False))
def test_payloads_are_what_json_reads(payloads: list[Any], pretty: bool, rng: random.Random) -> None:
    texts = [json.dumps(payload, ensure_ascii=rng.random() < 0.5, indent=1 if pretty else None) for payload in payloads]
    data = b"".join(map(lw.sse.frame, texts)) + lw.sse.DONE + b"data: not JSON\n\n"
    parser = lw.sse.Parser()
    found = [payload for chunk in cut(data, rng) for payload in parser.feed_json(chunk)]
    assert repr(found) == repr([json.loads(text) for text in texts])
    assert parser.done


def test_integers_are_exact_and_the_last_name_counts() -> None:
    big = 2**200 + 1
    stream = b'data: {"a": %d, "a": -1, "b": [%d, 1e400, NaN]}\n\n' % (big, big)
    [payload] = lw.sse.Parser().feed_json(stream)
    assert payload["a"] == -1
    assert payload["b"][:2] == [big, float("inf")]
    assert payload["b"][2] != payload["b"][2]


def test_invalid_utf_8_in_a_payload_is_replaced() -> None:
    assert lw.sse.Parser().feed_json(b'data: {"a":"\xff"}\n\n') == [{"a": "\ufffd"}]


@pytest.mark.parametrize(
    "bad", ["", "{", "{'a': 1}", "[1,]", "done", "[DONE] ", '"\\ud800"', "[" * 100_000, "1" * 5000]
)
def test_what_is_no_json_is_an_error_after_what_came_before(bad: str) -> None:
    for chunks in (
        [lw.sse.frame("1") + lw.sse.frame(bad) + lw.sse.frame("2")],
        [lw.sse.frame("1"), lw.sse.frame(bad), lw.sse.frame("2")],
    ):
        stream = lw.sse.payloads(chunks)
        assert next(stream) == 1
        with pytest.raises(lw.PayloadError) as caught:
            next(stream)
        assert caught.value.data == bad
        assert caught.value.position is not None
        assert list(stream) == []
        with pytest.raises(lw.PayloadError) as again:
            stream.parser.feed_json(b"")
        assert again.value.events == []
        assert again.value is not caught.value
        stream.parser.reset()
        assert stream.parser.feed_json(b"data: 3\n\n") == [3]


def test_done_belongs_to_a_connection() -> None:
    parser = lw.sse.Parser()
    assert [e.data for e in parser.feed(lw.sse.DONE + b"data: more\n\n")] == ["[DONE]", "more"]
    assert parser.done
    parser.reset()
    assert not parser.done


# -- bounds ------------------------------------------------------------------------------------------------------------

BOUNDS = {
    "sse_line_bytes": ({"max_line": 20}, b"data: " + b"x" * 15 + b"\n\n"),
    "sse_event_bytes": ({"max_event": 10}, b"data: 12345\ndata: 67890\n\n"),
    "sse_id_bytes": ({"max_id": 4}, b"id: 12345\ndata: x\n\n"),
}


@pytest.mark.parametrize("limit", BOUNDS)
@pytest.mark.parametrize("output", ["feed", "feed_bytes", "feed_json"])
def test_bounds_are_errors_after_the_events_before(limit: str, output: str) -> None:
    bounds, over = BOUNDS[limit]
    parser = lw.sse.Parser(**bounds)
    with pytest.raises(lw.LimitError) as caught:
        getattr(parser, output)(b"data: 1\n\ndata: 2\n\n" + over)
    assert caught.value.limit == limit
    assert caught.value.maximum == next(iter(bounds.values()))
    assert caught.value.events is not None
    assert len(caught.value.events) == 2


@pytest.mark.parametrize("limit", BOUNDS)
def test_a_source_gives_the_events_before_a_bound_however_it_is_cut(limit: str) -> None:
    bounds, over = BOUNDS[limit]
    data = b"data: 1\n\ndata: 2\n\n" + over + b"data: 3\n\n"
    for size in (1, 3, 1000):
        stream = lw.sse.events([data[i : i + size] for i in range(0, len(data), size)], parser=lw.sse.Parser(**bounds))
        assert [next(stream).data, next(stream).data] == ["1", "2"]
        with pytest.raises(lw.LimitError):
            next(stream)
        assert list(stream) == []


def test_default_bounds() -> None:
    table = lw.limits()
    assert (table["sse_line_bytes"], table["sse_event_bytes"], table["sse_id_bytes"]) == (1 << 20, 8 << 20, 4096)
    lw.sse.Parser().feed(b"data:" + b"x" * ((1 << 20) - 5) + b"\n\nid:" + b"i" * 4096 + b"\n")
    for over in (b"data:" + b"x" * ((1 << 20) - 4), b"id:" + b"i" * 4097, (b"data:" + b"x" * 999_999 + b"\n") * 9):
        with pytest.raises(lw.LimitError):
            lw.sse.Parser().feed(over)


# -- sources -----------------------------------------------------------------------------------------------------------

STREAM = b"id: 7\nretry: 30\ndata: one\n\n" + b"data: " + b"x" * 100_000 + b"\n\n" + "data: zwei ü\n\n".encode()
DATA = ["one", "x" * 100_000, "zwei ü"]


class Handler(BaseHTTPRequestHandler):
    """/chunked, /close and /gzip: the first event, and the rest only once a client said it has it. /whole: both."""

    protocol_version = "HTTP/1.1"
    first_was_read = threading.Event()

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        type(self).first_was_read.clear()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        if self.path == "/chunked":
            self.send_header("transfer-encoding", "chunked")
        else:
            self.send_header("connection", "close")
            self.close_connection = True
        compress = None
        if self.path == "/gzip":
            self.send_header("content-encoding", "gzip")
            compress = zlib.compressobj(wbits=31)
        self.end_headers()
        first, rest = STREAM[:28], STREAM[28:]
        for part in (first, rest):
            if compress:
                part = compress.compress(part) + compress.flush(zlib.Z_SYNC_FLUSH if part is first else zlib.Z_FINISH)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if self.path == "/chunked" else part)
            self.wfile.flush()
            if self.path != "/whole" and not self.first_was_read.wait(20):
                return
        if self.path == "/chunked":
            self.wfile.write(b"0\r\n\r\n")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def read(source: Any) -> None:
    """The first event comes before the second was sent."""
    stream = lw.sse.events(source)
    first = next(stream)
    Handler.first_was_read.set()
    assert [first.data, *(event.data for event in stream)] == DATA
    assert (stream.last_event_id, stream.retry_ms) == ("7", 30)


async def read_async(source: Any) -> None:
    stream = lw.sse.events(source)
    first = await anext(stream)
    Handler.first_was_read.set()
    assert [first.data, *[event.data async for event in stream]] == DATA
    assert (stream.last_event_id, stream.retry_ms) == ("7", 30)


paths = pytest.mark.parametrize("path", ["/chunked", "/close", "/gzip"])


@paths
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_httpx(url: str, path: str, library: str) -> None:
    httpx = pytest.importorskip(library)
    with httpx.stream("GET", url + path) as response:
        read(response)


@paths
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_httpx_async(url: str, path: str, library: str) -> None:
    httpx = pytest.importorskip(library)

    async def main() -> None:
        async with httpx.AsyncClient() as client, client.stream("GET", url + path) as response:
            await read_async(response)

    asyncio.run(main())


@paths
def test_requests(url: str, path: str) -> None:
    requests = pytest.importorskip("requests")
    with requests.get(url + path, stream=True, timeout=20) as response:
        read(response)


@paths
def test_urllib3(url: str, path: str) -> None:
    urllib3 = pytest.importorskip("urllib3")
    with urllib3.PoolManager() as pool:
        response = pool.request("GET", url + path, preload_content=False)
        read(response)
        response.release_conn()


@paths
def test_aiohttp(url: str, path: str) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def main() -> None:
        async with aiohttp.ClientSession() as session, session.get(url + path) as response:
            await read_async(response)

    asyncio.run(main())


@pytest.mark.parametrize("path", ["/chunked", "/close"])
def test_the_standard_library(url: str, path: str) -> None:
    from urllib.request import urlopen

    with urlopen(url + path, timeout=20) as response:
        read(response)


@pytest.mark.parametrize("path", ["/close"])
def test_an_asyncio_stream(url: str, path: str) -> None:
    async def main() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET /close HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await read_async(reader)
        writer.close()

    asyncio.run(main())


@pytest.mark.parametrize("library", ["httpx", "requests"])
def test_a_response_that_was_read_already(url: str, library: str) -> None:
    client = pytest.importorskip(library)
    response = client.get(url + "/whole", timeout=20)
    assert [event.data for event in lw.sse.events(response)] == DATA
    assert [event.data for event in lw.sse.events(response)] == DATA


def test_iterators_and_files(tmp_path: Any) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for i in range(0, len(STREAM), 1000):
            yield STREAM[i : i + 1000]

    async def main() -> list[str]:
        return [event.data async for event in lw.sse.events(chunks())]

    assert asyncio.run(main()) == DATA
    assert [e.data for e in lw.sse.events(STREAM[i : i + 1] for i in range(len(STREAM)))] == DATA
    assert [e.data for e in lw.sse.events([bytearray(STREAM)])] == DATA  # type: ignore[list-item]
    assert [e.data for e in lw.sse.events(io.BytesIO(STREAM))] == DATA
    path = tmp_path / "recording"
    path.write_bytes(STREAM)
    for buffering in (-1, 0):
        with path.open("rb", buffering=buffering) as file:
            assert [e.data for e in lw.sse.events(file)] == DATA


def test_payloads_stop_at_done_and_leave_the_rest() -> None:
    chunks = iter([b'data: {"a":1}\n\n', lw.sse.DONE + b"data: 2\n\n", b"data: 3\n\n"])
    stream = lw.sse.payloads(chunks)
    assert list(stream) == [{"a": 1}]
    assert stream.parser.done
    assert list(chunks) == [b"data: 3\n\n"]

    async def later() -> AsyncIterator[bytes]:
        for chunk in [b"data: 1\n\n", lw.sse.DONE, b"data: 2\n\n"]:
            yield chunk

    async def main() -> list[Any]:
        return [payload async for payload in lw.sse.payloads(later())]

    assert asyncio.run(main()) == [1]


def test_a_second_connection_remembers_the_id() -> None:
    first = lw.sse.events([b"id: 4\nretry: 10\ndata: a\n\ndata: lost"])
    assert [event.data for event in first] == ["a"]
    second = lw.sse.events([b"data: b\n\n"], parser=first.parser)
    [event] = second
    assert (event.data, event.id, second.last_event_id, second.retry_ms) == ("b", "4", "4", 10)


@pytest.mark.parametrize("wrong", [b"data: x\n\n", "data: x\n\n", bytearray(), 7, None])
def test_what_is_no_source(wrong: Any) -> None:
    with pytest.raises(TypeError, match="no source of bytes"):
        lw.sse.events(wrong)


def test_what_the_source_raises_comes_after_its_events() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"data: a\n\ndata: b\n\n"
        raise ConnectionResetError("gone")

    stream = lw.sse.events(chunks())
    assert [next(stream).data, next(stream).data] == ["a", "b"]
    with pytest.raises(ConnectionResetError):
        next(stream)


def test_vectors_from_a_source() -> None:
    for case in vectors("sse"):
        data = stream_of(case)
        stream = lw.sse.events([data[i : i + 3] for i in range(0, len(data), 3)])
        assert [(e.type, e.data, e.id) for e in stream] == [tuple(e) for e in reference.parse(data).events]
        assert stream.last_event_id == case["last_event_id"]
