"""What the server's tests need around it: null models, a tokenizer of the 256 bytes, uvicorn in a thread, bare ASGI.

No test is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn

import logitwire as lw

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
IM_START, IM_END, END_OF_TEXT = 256, 257, 258
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer(special: Sequence[str] = SPECIAL) -> lw.Tokenizer:
    """A byte-level tokenizer without merges: token i is byte i, so every character but ASCII takes several."""
    # GPT-2's alphabet: printable bytes stand for themselves, the others for 256, 257, ... in order.
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(256, 512))
    alphabet = [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
    added = [
        {"id": 256 + index, "content": text, "special": True}
        | dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
        for index, text in enumerate(special)
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    vocab = {text: index for index, text in enumerate([*alphabet, *special])}
    return lw.Tokenizer.from_json(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": added,
                "normalizer": None,
                "pre_tokenizer": byte_level,
                "post_processor": None,
                "decoder": byte_level,
                "model": {"type": "BPE", "vocab": vocab, "merges": []},
            }
        )
    )


@dataclass
class TokenCache:
    ids: list[int] = field(default_factory=list)

    @property
    def len(self) -> int:
        return len(self.ids)

    def truncate(self, n: int) -> None:
        del self.ids[n:]

    def fork(self) -> TokenCache:
        return TokenCache(list(self.ids))


class NullModel:
    """Logits from a hash of the tokens so far: equal whatever the batch. It never ends a text by itself.

    `gate` holds it still while cleared; `batches` counts the rows of each call.
    """

    name = "null"
    vocab_size = 264  # padded, as models are

    def __init__(self, *, context_length: int | None = None) -> None:
        self.tokenizer = byte_tokenizer()
        self.chat_template = lw.ChatTemplate(TEMPLATE)
        if context_length is not None:
            self.context_length = context_length
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[int] = []

    def new_cache(self) -> TokenCache:
        return TokenCache()

    def forward(self, rows: Sequence[tuple[TokenCache, Sequence[int]]], *, positions: str = "last") -> Any:
        assert positions == "last"
        assert self.gate.wait(60)
        self.batches.append(len(rows))
        for cache, new_ids in rows:
            cache.ids += new_ids
        return np.stack([self.logits(cache.ids) for cache, _ in rows]).astype(np.float32)

    def logits(self, ids: list[int]) -> np.ndarray[Any, Any]:
        seed = zlib.crc32(np.array(ids, np.int32).tobytes())
        logits = np.random.default_rng(seed).standard_normal(self.vocab_size)
        logits[256:259] = -30.0
        return logits


class Recite(NullModel):
    """After the last newline, the script; then the end. The script has no newline."""

    name = "vendor/recite"

    def __init__(self, script: str, *, ends: bool = True) -> None:
        super().__init__()
        self.script = [*script.encode(), *([IM_END] if ends else [])]

    def logits(self, ids: list[int]) -> np.ndarray[Any, Any]:
        since_newline = ids[::-1].index(10)
        logits = np.full(self.vocab_size, -20.0)
        logits[self.script[since_newline % len(self.script)]] = 0.0
        return logits


class Faulty(NullModel):
    """A row of NaN for a prompt that begins with byte 1, and for one that begins with byte 2 once it has 8 tokens."""

    def logits(self, ids: list[int]) -> np.ndarray[Any, Any]:
        logits = super().logits(ids)
        if ids[0] == 1 or (ids[0] == 2 and len(ids) >= 8):
            logits[:] = np.nan
        return logits


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """The app under uvicorn in a thread; gives its address, `http://127.0.0.1:<port>`."""
    listener = socket.socket()
    # Small, so that a client that does not read is felt soon.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


def eventually(condition: Callable[[], bool], deadline_s: float = 60.0) -> None:
    """Wait for a condition; the deadline only keeps a broken test from hanging."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    messages: list[bytes] = field(default_factory=list)
    complete: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.messages)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Call:
    """One request by bare ASGI. The client stays until `leave()`."""

    def __init__(
        self,
        app: Any,
        method: str,
        path: str,
        body: Any = b"",
        *,
        headers: dict[str, str] | None = None,
        chunks: Sequence[bytes] | None = None,
        send: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._chunks = [data] if chunks is None else list(chunks)
        self.received = 0
        sent = {"content-type": "application/json"} | (headers or {})
        if chunks is None:
            sent.setdefault("content-length", str(len(data)))
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self._app = app
        self._left = asyncio.Event()
        self._before_send = send
        self.answer = Answer()

    def leave(self) -> None:
        self._left.set()

    async def run(self) -> Answer:
        await self._app(self._scope, self._receive, self._send)
        return self.answer

    async def _receive(self) -> dict[str, Any]:
        if self.received < len(self._chunks):
            self.received += 1
            more = self.received < len(self._chunks)
            return {"type": "http.request", "body": self._chunks[self.received - 1], "more_body": more}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if self._before_send is not None:
            await self._before_send(message)
        if message["type"] == "http.response.start":
            assert not self.answer.status
            self.answer.status = message["status"]
            self.answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            assert self.answer.status
            assert not self.answer.complete
            self.answer.messages.append(message.get("body", b""))
            self.answer.complete = not message.get("more_body", False)


def call(app: Any, method: str, path: str, body: Any = b"", **options: Any) -> Answer:
    async def run() -> Answer:
        return await Call(app, method, path, body, **options).run()

    return asyncio.run(run())


def events(body: bytes) -> list[Any]:
    """The events of a stream, each parsed as JSON but for the last, `[DONE]`, which must be there."""
    data = [event.data for event in lw.sse.Parser().feed(body)]
    assert data.pop() == "[DONE]"
    return [json.loads(item) for item in data]
