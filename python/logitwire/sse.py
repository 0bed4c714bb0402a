"""Server-sent events: bytes to events and back. No sockets here.

>>> from logitwire import sse
>>> [event.data for event in sse.Parser().feed(sse.frame("hello"))]
['hello']
"""

from logitwire._core import SSE_DONE as DONE
from logitwire._core import Event, Framer
from logitwire._core import SseParser as Parser
from logitwire._core import sse_comment as comment
from logitwire._core import sse_frame as frame

__all__ = ["DONE", "Event", "Framer", "Parser", "comment", "frame"]
