"""What `sse.check` reports, and the command `logitwire sse` over it, on recordings and on live servers."""

from __future__ import annotations

import io
import json
import random
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import sse as reference
from test_sse import CASES, HOSTILE, PIECES, cut, stream_of

import logitwire as lw

# The stream, and each deviation's severity, line, byte and a part of what it says.
DEVIATIONS: dict[str, tuple[bytes, list[tuple[str, int, int, str]]]] = {
    "none": (b": hi\n\nid: 1\nevent: e\nretry: 10\ndata: a\ndata:\ndata: b\n\nid:\n\nretry: 5\n\n", []),
    "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", []),
    "unknown field": (b"foo: x\ndata: a\n\n", [("error", 1, 0, "named 'foo'")]),
    "case": (b"data: a\nData: b\n\n", [("error", 2, 8, "'data' is meant")]),
    "space before": (b" data: b\n\n", [("error", 1, 0, "'data' is meant")]),
    "no data": (b"id: 1\nevent: e\n\n", [("error", 1, 0, "without data")]),
    "NUL in an id": (b"id: a\0b\ndata: x\n\n", [("error", 1, 0, "NUL")]),
    "retry": (b"data: x\nretry: 1.5\n\n", [("error", 2, 8, "not a number")]),
    "other digits": ("retry: ٣\n\n".encode(), [("error", 1, 0, "not a number")]),
    "UTF-8": (b"data: ab\xffc\n\n", [("error", 1, 8, "not UTF-8")]),
    "cut character": (b"data: \xe4\xbd\n\n", [("error", 1, 6, "not UTF-8")]),
    "mark": (b"\xef\xbb\xbfdata: x\n\n", [("warning", 1, 0, "byte order mark")]),
    "late mark": (
        b"data: x\n\n\xef\xbb\xbfdata: y\n\n",
        [("error", 3, 9, "byte order mark"), ("error", 3, 9, "named")],
    ),
    "unfinished event": (b"data: a\n\nid: 3\ndata: b\n", [("error", 3, 9, "ends inside an event")]),
    "unfinished line": (b"data: a\n\ndata: b", [("error", 3, 9, "inside a line")]),
    "CR": (b"data: a\r\rdata: b\r\r", [("warning", 2, 8, "CR alone")]),
    "mixed ends": (b"data: a\n\r\ndata: b\n\n", [("warning", 3, 10, "more than one kind")]),
    "no colon": (b"data\n\n", [("warning", 1, 0, "without a colon")]),
    "no space": (b"data:a\n\ndata:b\n\n", [("warning", 1, 0, "no space")]),
    "id twice": (b"id: 1\nid: 2\ndata: x\n\n", [("warning", 2, 6, "only the last counts")]),
    "splitlines": ("data: é\u2028b\n\n".encode(), [("warning", 1, 8, "U+2028")]),
    "vertical tab": (b"data: a\x0bb\n\n", [("warning", 1, 7, "U+000B")]),
    "after done": (b"data: [DONE]\n\ndata: x\n\n", [("warning", 3, 14, "after [DONE]")]),
    "broken JSON": (b'data: {"a":\ndata: 1}\n\ndata: {"a"\n\n', [("warning", 4, 22, "is none")]),
    "deep JSON": (b"data: " + b"[" * 100_000 + b"\n\n", [("warning", 1, 0, "is none")]),
    "long line": (
        b"data: " + b"x" * (1 << 20) + b"\n\n",
        [("error", 1, 0, "1,048,576 bytes"), ("error", 1, 0, "")][:1],
    ),
    "long comment": (b": " + b"x" * (1 << 21) + b"\n\n", []),
    "long event": ((b"data: " + b"x" * 999_990 + b"\n") * 10 + b"\n", [("error", 9, 8 * 999_997, "8,388,608 bytes")]),
    "long id": (b"id: " + b"x" * 4097 + b"\ndata: x\n\n", [("error", 1, 0, "4,096 bytes")]),
}


@pytest.mark.parametrize("name", DEVIATIONS)
def test_deviations_however_the_stream_is_cut(name: str) -> None:
    stream, expected = DEVIATIONS[name]
    rng = random.Random(name)
    chunkings = [[stream], *(cut(stream, rng) for _ in range(5))]
    if len(stream) < 200_000:
        chunkings.append([stream[i : i + 1] for i in range(len(stream))])
    if len(stream) < 200:
        chunkings += [[stream[:i], stream[i:]] for i in range(len(stream))]
    for chunks in chunkings:
        found = list(lw.sse.check(chunks))
        assert [(d.severity, d.line, d.byte) for d in found] == [(s, line, byte) for s, line, byte, _ in expected], (
            found
        )
        assert all(part in d.what for d, (*_, part) in zip(found, expected, strict=True)), found


@given(st.lists(st.sampled_from(PIECES), max_size=25), st.randoms(use_true_random=False))
def test_any_stream_is_checked_alike_however_cut(pieces: list[bytes], rng: random.Random) -> None:
    stream = b"".join(pieces)
    assert list(lw.sse.check(cut(stream, rng))) == list(lw.sse.check([stream]))


@pytest.mark.parametrize("case", CASES)
def test_a_stream_without_errors_loses_nothing(case: dict[str, Any]) -> None:
    """Where nothing is reported, every line is a comment, blank, or part of what the parser gives."""
    stream = stream_of(case)
    if any(deviation.severity == "error" for deviation in lw.sse.check([stream])):
        return
    text = stream.decode().removeprefix("\ufeff")
    lines = [line for line in reference.lines(text) if line and not line.startswith(":")]
    assert {line.partition(":")[0] for line in lines} <= {"data", "event", "id", "retry"}
    n_data = sum(line.partition(":")[0] == "data" for line in lines)
    assert n_data == sum(event.data.count("\n") + 1 for event in reference.parse(stream).events)


@pytest.mark.parametrize("text", HOSTILE)
def test_frames_deviate_in_nothing(text: str) -> None:
    framer = lw.sse.Framer("chat", id="a", model=text, created=0, include_usage=True)
    frames = framer.start() + framer.text(text) + framer.tool_call(0, id=text, name=text) + framer.finish("stop")
    frames += framer.usage(1, 2) + lw.sse.comment("ping") + lw.sse.error(text) + lw.sse.DONE
    assert list(lw.sse.check([frames])) == []


# -- the command -------------------------------------------------------------------------------------------------------

FRAMES = [lw.sse.frame('{"a": 1}', id="7", event="tick", retry_ms=20), lw.sse.frame("x\ny"), lw.sse.DONE]


class Handler(BaseHTTPRequestHandler):
    asked: list[tuple[str, dict[str, str], bytes]] = []  # noqa: RUF012

    def log_message(self, *args: object) -> None:
        pass

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.asked.append((self.command, {name.lower(): value for name, value in self.headers.items()}, body))
        if self.path == "/no":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("content-type", "text/plain" if self.path == "/plain" else "text/event-stream")
        self.end_headers()
        for frame in FRAMES:
            self.wfile.write(frame)
            self.wfile.flush()

    do_GET = do_POST = answer  # noqa: N815


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


class Run:
    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        from logitwire.cli import main

        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin))))
        code = main(["sse", *arguments])
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    pytest.importorskip("click")
    pytest.importorskip("rich")
    monkeypatch.delenv("LOGITWIRE_OFFLINE", raising=False)
    return Run(capsys, monkeypatch)


def test_a_live_stream_is_laid_out_with_its_times(run: Run, url: str) -> None:
    code, out, err = run(url)
    assert code == 0
    laid_out = re.sub(r"\+\d\.\d{3} s", "+T", out)
    assert (
        laid_out == '+T  tick  id 7\n  {\n    "a": 1\n  }\n+T  message  id 7\n  x\n  y\n+T  message  id 7\n  [DONE]\n'
    )
    assert re.fullmatch(
        r"3 events; the first after \d\.\d{3} s; then [\d.]+ ms between them, [\d.]+ s at most; "
        r"last id 7; retry 20 ms; ended by \[DONE\]\n",
        err,
    )


def test_a_recording_has_no_times(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(b"".join(FRAMES))
    code, out, err = run(str(path))
    assert (code, out.splitlines()[0], err.split(";")[0]) == (0, "tick  id 7", "3 events")
    assert run(str(path), "--json")[1].splitlines()[1] == '{"type": "message", "id": "7", "data": "x\\ny"}'


def test_stdin_is_the_default(run: Run) -> None:
    for arguments in ([], ["-"]):
        code, out, _ = run(*arguments, "--json", stdin=b"".join(FRAMES))
        first = json.loads(out.splitlines()[0])
        assert code == 0
        assert first.pop("after_s") >= 0
        assert first == {"type": "tick", "id": "7", "data": '{"a": 1}'}
    assert run(stdin=b"") == (0, "", "0 events\n")


def test_a_request_says_what_it_was_told(run: Run, url: str, tmp_path: Path) -> None:
    run(url, "--data", '{"stream": true}', "--header", "Authorization: Bearer k", "--last-event-id", "41")
    (tmp_path / "body").write_text("[1]")
    run(url, "--data", f"@{tmp_path / 'body'}")
    (method, headers, body), (_, _, second) = Handler.asked[-2:]
    assert (method, body, second) == ("POST", b'{"stream": true}', b"[1]")
    assert headers["accept"] == "text/event-stream"
    assert (headers["authorization"], headers["last-event-id"]) == ("Bearer k", "41")
    assert headers["content-type"] == "application/json"


def test_check(run: Run, url: str) -> None:
    assert run(url, "--check") == (0, "", "errors: 0, warnings: 0\n")
    code, out, err = run(url + "/plain", "--check")
    assert (code, err) == (1, "errors: 1, warnings: 0\n")
    assert out == "response: error: the content type is text/plain; clients take text/event-stream alone\n"
    code, out, err = run("--check", stdin=b"retry: x\nid: 1\n\ndata:lost\n")
    assert (code, err) == (1, "errors: 2, warnings: 1\n")
    assert out.splitlines()[0] == "line 1, byte 0: error: retry is not a number, and is ignored"
    assert run("--check", stdin=b"data:x\n\n")[0] == 0  # a warning is no error


def test_what_goes_wrong_is_one_line(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, code, said in (
        ([url + "/no"], 1, "HTTP 404"),
        (["http://127.0.0.1:1/"], 1, "refused"),
        (["no/such/recording"], 1, "no/such/recording"),
        ([url, "--data", "{"], 2, "not JSON"),
        ([url, "--header", "nonsense"], 2, "NAME: VALUE"),
        ([url, "--header", "a: b\nc: d"], 2, ""),
        (["--data", "{}"], 2, "for a URL"),
        (["--check", "--json"], 2, "two outputs"),
    ):
        found = run(*arguments)
        assert (found[0], found[1]) == (code, ""), found
        assert re.match(f"logitwire: error: .*{said}", found[2]), found
    monkeypatch.setenv("LOGITWIRE_OFFLINE", "1")
    assert run(url)[0] == 0
    assert "LOGITWIRE_OFFLINE forbids" in run("https://logitwire.invalid/")[2]


def test_events_before_a_bound_are_shown(run: Run) -> None:
    code, out, err = run("--json", stdin=FRAMES[1] + b"data: " + b"x" * (1 << 20))
    assert (code, len(out.splitlines())) == (1, 1)
    assert "sse_line_bytes" in err


def test_a_terminal_obeys_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from logitwire.cli import sse

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    event = lw.sse.Event("\x1b[2J\nb", type="\x1b]0;t\x07")
    assert not set("\x1b\x07") & set(re.sub(r"\x1b\[\dm", "", sse._laid_out(event, None)))
