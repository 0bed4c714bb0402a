"""Server-sent events: bytes to events and back. No sockets here.

>>> from logitwire import sse
>>> [event.data for event in sse.Parser().feed(sse.frame("hello"))]
['hello']
>>> [event.data for event in sse.events([b"data: hel", b"lo\\n\\n"])]
['hello']
"""

from logitwire._core import SSE_DONE as DONE
from logitwire._core import Event, EventBytes, Framer, Template
from logitwire._core import SseParser as Parser
from logitwire._core import sse_comment as comment
from logitwire._core import sse_error as error
from logitwire._core import sse_frame as frame
from logitwire._core import sse_tgi_error as tgi_error
from logitwire._core import sse_tgi_token as tgi_token

from .check import Checker, Deviation, check
from .source import AsyncEvents, Events, events, payloads

__all__ = [
    "DONE",
    "AsyncEvents",
    "Checker",
    "Deviation",
    "Event",
    "EventBytes",
    "Events",
    "Framer",
    "Parser",
    "Template",
    "check",
    "comment",
    "error",
    "events",
    "frame",
    "payloads",
    "tgi_error",
    "tgi_token",
]
