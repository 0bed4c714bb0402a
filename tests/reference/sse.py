"""An event stream read at once, clause by clause of WHATWG HTML 9.2.6; no state survives a call."""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    type: str
    data: str
    id: str


class Stream(NamedTuple):
    events: list[Event]
    last_event_id: str
    retry: int | None


def lines(text: str) -> list[str]:
    """The finished lines: "\\r\\n", "\\n" or "\\r" ends one, nothing else does."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]


def parse(stream: bytes) -> Stream:
    text = stream.decode("utf-8", "replace")
    # "one leading U+FEFF BYTE ORDER MARK character must be ignored if any are present"
    text = text.removeprefix("\ufeff")
    events: list[Event] = []
    data, event_type, id_buffer, last_event_id = "", "", "", ""
    retry = None
    for line in lines(text):
        if line == "":
            # "Set the last event ID string of the event source to the value of the last event ID buffer."
            last_event_id = id_buffer
            # "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty string
            # and return."
            if data != "":
                events.append(Event(event_type or "message", data.removesuffix("\n"), last_event_id))
            data, event_type = "", ""
            continue
        if line.startswith(":"):
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event_type = value
        elif name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            id_buffer = value
        elif name == "retry" and value != "" and all(c in "0123456789" for c in value):
            retry = int(value)
    return Stream(events, last_event_id, retry)
