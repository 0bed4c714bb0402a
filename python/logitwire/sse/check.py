"""What in an event stream a reader must drop, replace or guess, each with its place. Reads bytes and opens nothing.

The rules are those of WHATWG HTML, 9.2.5 and 9.2.6. An error is something that does not arrive as it was sent; a
warning is allowed, and known to break clients that do not read by the rules. Slow and patient: for people, not traffic.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from logitwire._core import limits

_FIELDS = frozenset(("data", "event", "id", "retry"))
_LINE_END = re.compile(rb"\r\n|\r|\n")
_SPLITLINES = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""What `str.splitlines` takes for a line end, CR and LF aside."""

_MARK = b"\xef\xbb\xbf"


class Deviation(NamedTuple):
    """line is counted from 1, byte from 0."""

    severity: Literal["error", "warning"]
    line: int
    byte: int
    what: str

    def __str__(self) -> str:
        return f"line {self.line}, byte {self.byte}: {self.severity}: {self.what}"


class Checker:
    """Finds the deviations of one stream, whose chunks may be cut anywhere.

    >>> checker = Checker()
    >>> [str(deviation) for deviation in [*checker.feed(b"retry: 1s\\n\\ndata: lost\\n"), *checker.finish()]]
    ['line 1, byte 0: error: retry is not a number, and is ignored', \
'line 3, byte 11: error: the stream ends inside an event, which is dropped: no blank line after it']
    """

    def __init__(self) -> None:
        table = limits()
        self._max_line = table["sse_line_bytes"]
        self._max_event = table["sse_event_bytes"]
        self._max_id = table["sse_id_bytes"]
        self._held = bytearray()
        self._skipping = False
        """In a line that was too long to keep."""
        self._after_cr = False
        self._line = 1
        self._byte = 0
        self._event_at: tuple[int, int] | None = None
        self._seen: set[str] = set()
        self._data: list[str] = []
        self._data_bytes = 0
        self._done = False
        self._said: set[str] = set()
        self._line_end = ""

    def feed(self, chunk: bytes) -> Iterator[Deviation]:
        """What this chunk brought to light. Iterate to the end before the next chunk."""
        data = bytes(chunk)
        if not data:
            return
        if self._after_cr:
            self._after_cr = False
            if data[:1] == b"\n":
                data = data[1:]
                self._byte += 1
                yield from self._ended_by("CR LF")
            else:
                yield from self._ended_by("CR")
        start = 0
        for match in _LINE_END.finditer(data):
            yield from self._take(data[start : match.start()])
            self._after_cr = match[0] == b"\r" and match.end() == len(data)
            yield from self._finish_line(len(match[0]))
            if not self._after_cr:
                yield from self._ended_by({b"\r\n": "CR LF", b"\r": "CR", b"\n": "LF"}[match[0]])
            start = match.end()
        yield from self._take(data[start:])

    def finish(self) -> Iterator[Deviation]:
        """What the end of the stream brought to light."""
        if self._after_cr:
            yield from self._ended_by("CR")
        if self._held or self._skipping:
            yield self._error("the stream ends inside a line, which is dropped")
        if self._event_at is not None:
            what = "the stream ends inside an event, which is dropped: no blank line after it"
            yield Deviation("error", *self._event_at, what)

    def _error(self, what: str, offset: int = 0) -> Deviation:
        return Deviation("error", self._line, self._byte + offset, what)

    def _warn_once(self, what: str, offset: int = 0) -> Iterator[Deviation]:
        if what not in self._said:
            self._said.add(what)
            yield Deviation("warning", self._line, self._byte + offset, what)

    def _ended_by(self, name: str) -> Iterator[Deviation]:
        """The line before this place had that end."""
        if name == "CR":
            yield from self._warn_once("a line ends in CR alone; many clients wait for LF")
        if self._line_end not in ("", name):
            yield from self._warn_once("line ends of more than one kind")
        self._line_end = name

    def _take(self, part: bytes) -> Iterator[Deviation]:
        """A piece of the current line."""
        if self._skipping:
            self._byte += len(part)
            return
        self._held += part
        if len(self._held) > self._max_line:
            if not self._held.startswith(b":"):  # of a comment nobody keeps anything
                yield self._error(f"a line of more than {self._max_line:,} bytes; readers with bounds refuse it")
                self._event_at = self._event_at or (self._line, self._byte)
            self._byte += len(self._held)
            self._held.clear()
            self._skipping = True

    def _finish_line(self, end: int) -> Iterator[Deviation]:
        if not self._skipping:
            line = bytes(self._held)
            self._held.clear()
            yield from self._check_line(line)
            self._byte += len(line)
        self._skipping = False
        self._byte += end
        self._line += 1

    def _check_line(self, line: bytes) -> Iterator[Deviation]:
        if self._line == 1 and line.startswith(_MARK):
            yield from self._warn_once("a byte order mark; readers that do not expect one lose the first line")
            line = line[3:]
        elif line.startswith(_MARK):
            yield self._error("a byte order mark that is not at the stream's start is part of the field's name")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            yield self._error(f"not UTF-8 ({error.reason}); it is replaced by U+FFFD", error.start)
            text = line.decode("utf-8", "replace")
        if found := _SPLITLINES.search(text):
            what = f"U+{ord(found[0]):04X}, at which readers built on splitlines break the line; write it as an escape"
            yield from self._warn_once(what, len(text[: found.start()].encode()))
        if text == "":
            yield from self._check_event()
        elif not text.startswith(":"):
            if self._event_at is None:
                self._event_at = (self._line, self._byte)
            yield from self._check_field(text)

    def _check_field(self, text: str) -> Iterator[Deviation]:
        name, colon, value = text.partition(":")
        if name not in _FIELDS:
            meant = name.strip().lower()
            shown = name if len(name) <= 40 else name[:40] + "..."
            hint = f"; {meant!r} is meant?" if meant in _FIELDS else ""
            yield self._error(f"no field is named {shown!r}, so the line is ignored{hint}")
            return
        if not colon:
            yield from self._warn_once(f"{name} without a colon is {name} with nothing in it")
        elif value and not value.startswith(" "):
            yield from self._warn_once('no space after the colon; clients that look for "data: " miss it')
        value = value.removeprefix(" ")
        if name != "data" and name in self._seen:
            yield Deviation("warning", self._line, self._byte, f"{name} again in the same event: only the last counts")
        self._seen.add(name)
        if name == "data":
            self._data_bytes += len(value.encode()) + bool(self._data)
            if self._data_bytes <= self._max_event:
                self._data.append(value)
            elif self._data_bytes - len(value.encode()) <= self._max_event:
                yield self._error(f"an event of more than {self._max_event:,} bytes; readers with bounds refuse it")
        elif name == "id" and "\0" in value:
            yield self._error("an id with NUL, which is ignored")
        elif name == "id" and len(value.encode()) > self._max_id:
            yield self._error(f"an id of more than {self._max_id:,} bytes; readers with bounds refuse it")
        elif name == "retry" and not re.fullmatch("[0-9]+", value):
            yield self._error("retry is not a number, and is ignored")

    def _check_event(self) -> Iterator[Deviation]:
        """At a blank line."""
        if self._event_at is None:
            return
        place, seen, data = self._event_at, self._seen, "\n".join(self._data)
        self._event_at, self._seen, self._data, self._data_bytes = None, set(), [], 0
        if "data" not in seen:
            if "event" in seen:
                yield Deviation("error", *place, "an event without data, which is dropped")
            return
        if self._done:
            yield Deviation("warning", *place, "an event after [DONE], where clients stop reading")
        elif data == "[DONE]":
            self._done = True
        elif data.startswith(("{", "[")):
            try:
                json.loads(data)
            except (ValueError, RecursionError) as error:
                yield Deviation("warning", *place, f"data that begins as JSON and is none: {error}")


def check(chunks: Iterable[bytes]) -> Iterator[Deviation]:
    """The deviations of a whole stream, as they come to light.

    >>> [deviation.what for deviation in check([b"Data: x\\n\\n"])]
    ["no field is named 'Data', so the line is ignored; 'data' is meant?"]
    """
    checker = Checker()
    for chunk in chunks:
        yield from checker.feed(chunk)
    yield from checker.finish()
