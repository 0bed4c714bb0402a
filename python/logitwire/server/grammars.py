"""Grammars that clients ask for, compiled beside the event loop and kept for whoever asks for the same.

What a request may say is in `requests`; what a grammar is, the library's own.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from logitwire._core import Grammar, Vocab
from logitwire.errors import LogitwireError

MAX_GRAMMARS = 256
MAX_GRAMMAR_BYTES = 256 << 20
"""Together, with all that they have learned."""

COMPILERS = 2
"""Threads that compile: a client's grammars may be slow to, and nobody else should wait for them."""


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """What a client holds its answer to."""

    kind: Literal["json", "json_schema", "regex", "choice"]
    source: Any
    """The kind of JSON, the bytes of a schema, a pattern, or a tuple of texts."""
    options: dict[str, str] = field(default_factory=dict)
    named: str
    """The field it came from, for errors."""

    def key(self) -> bytes:
        """Equal for those whose grammars are."""
        return hashlib.sha256(repr((self.kind, self.source, sorted(self.options.items()))).encode()).digest()

    def compile(self, vocab: Vocab) -> Grammar:
        grammar: Grammar = getattr(Grammar, self.kind)(vocab, self.source, **self.options)
        return grammar


class Grammars:
    """The grammars of one vocabulary, those asked for last. Belongs to one event loop at a time."""

    def __init__(
        self, vocab: Vocab, *, max_grammars: int = MAX_GRAMMARS, max_grammar_bytes: int = MAX_GRAMMAR_BYTES
    ) -> None:
        self._vocab = vocab
        self._max_grammars = max_grammars
        self._max_grammar_bytes = max_grammar_bytes
        self._kept: OrderedDict[bytes, Grammar] = OrderedDict()
        self._compiling: dict[bytes, asyncio.Task[Grammar]] = {}
        self._threads = ThreadPoolExecutor(COMPILERS, thread_name_prefix="logitwire-grammar")

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, constraint: Constraint) -> Grammar:
        """The grammar of a constraint. What is wrong with it is raised as a compiler says it, naming the field."""
        key = constraint.key()
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        task = self._compiling.get(key)
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            task = self._compiling[key] = asyncio.create_task(self._compile(key, constraint))
        try:
            # Whoever asked first may leave before it is done, and others wait for the same.
            return await asyncio.shield(task)
        except LogitwireError as error:
            error.field = constraint.named  # type: ignore[attr-defined]
            raise

    async def _compile(self, key: bytes, constraint: Constraint) -> Grammar:
        loop = asyncio.get_running_loop()
        try:
            grammar = await loop.run_in_executor(self._threads, constraint.compile, self._vocab)
        finally:
            del self._compiling[key]
        self._kept[key] = grammar
        sizes = [kept.memory_bytes for kept in self._kept.values()]
        while len(self._kept) > 1 and (len(self._kept) > self._max_grammars or sum(sizes) > self._max_grammar_bytes):
            self._kept.popitem(last=False)
            sizes.pop(0)
        return grammar
