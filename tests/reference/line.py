"""One request's line with the stations called one by one: Sampler, Detokenizer, StopMatcher, Framer.

This is the order in which they must be composed, and it has three rules of its own. Which reason wins: a stop string
found in the text, also in what the end itself let go, over an end token, over a stop token, over length. A special
token that is no text and spells a stop string is that stop. Within the minimum only length ends a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from reference import mask as reference_mask

import logitwire as lw

RUNNING, EOS, STOP_TOKEN, STOP_STRING, LENGTH, ERROR = range(6)
REASONS = {EOS: "stop", STOP_TOKEN: "stop", STOP_STRING: "stop", LENGTH: "length"}


class Step(NamedTuple):
    token: int
    status: int
    logprob: float
    rank: int
    top: list[tuple[int, float]]
    finish: int
    stop_index: int
    text: bytes
    frames: bytes


class Line:
    def __init__(
        self,
        vocab: lw.Vocab,
        params: lw.SamplingParams,
        *,
        vocab_size: int | None = None,
        max_tokens: int | None = None,
        min_tokens: int = 0,
        stop: Sequence[str] = (),
        include_stop: bool = False,
        stop_tie: Literal["longest", "list"] = "longest",
        stop_token_ids: Sequence[int] = (),
        ignore_eos: bool = False,
        skip_special_tokens: bool = True,
        framer: lw.sse.Framer | None = None,
    ) -> None:
        self.vocab_size = vocab_size or len(vocab)
        self.sampler = lw.Sampler(self.vocab_size, vocab=vocab)
        self.slot = self.sampler.add(params)
        self.detokenizer = vocab.detokenizer(skip_special_tokens=skip_special_tokens)
        self.matcher = lw.StopMatcher(stop, include_stop=include_stop, stop_tie=stop_tie)
        self.stop, self.include_stop, self.framer = list(stop), include_stop, framer
        self.min_tokens, self.max_tokens = min_tokens, max_tokens
        self.eos_ids = [] if ignore_eos else vocab.eos_ids
        self.stop_token_ids = stop_token_ids
        self.special_stops = {
            i: text
            for i in vocab.special_ids
            for text in self.stop
            if vocab.token_bytes(i) == text.encode()
            and (skip_special_tokens or i in self.eos_ids or i in self.stop_token_ids)
        }
        self.n_tokens = 0

    def step(self, row: np.ndarray, mask: np.ndarray | None = None) -> Step:
        ends = {*self.eos_ids, *self.stop_token_ids, *self.special_stops}
        if self.n_tokens < self.min_tokens:
            allowed = np.ones(self.vocab_size, bool) if mask is None else reference_mask.unpack(mask, self.vocab_size)
            allowed[sorted(ends)] = False
            mask = reference_mask.pack(allowed)
        drawn = self.sampler.step(row[None], [self.slot], mask=None if mask is None else mask[None])
        token, status = int(drawn.tokens[0]), int(drawn.status[0])
        top = [(int(i), float(x)) for i, x in zip(drawn.top_ids[0], drawn.top_logprobs[0], strict=True) if i >= 0]
        sampled = (token, status, float(drawn.logprobs[0]), int(drawn.ranks[0]), top)
        if token < 0:
            return Step(*sampled, ERROR, -1, b"", b"")
        self.n_tokens += 1
        spelled = self.special_stops.get(token)
        if spelled is not None:
            finish = STOP_STRING
        elif token in self.eos_ids:
            finish = EOS
        elif token in self.stop_token_ids:
            finish = STOP_TOKEN
        elif self.n_tokens == self.max_tokens:
            finish = LENGTH
        else:
            finish = RUNNING
        text = self.detokenizer.step(token) if finish in (RUNNING, LENGTH) else ""
        if finish != RUNNING:
            text += self.detokenizer.finish()
        shown, matched = self.matcher.feed(text, armed=self.n_tokens > self.min_tokens)
        if matched is not None:
            finish = STOP_STRING
        elif finish != RUNNING:
            shown += self.matcher.finish()
            if spelled is not None:
                matched = spelled
                shown += spelled if self.include_stop else ""
        frames = b""
        if self.framer is not None:
            frames += self.framer.text(shown)
            if finish != RUNNING:
                frames += self.framer.finish(REASONS[finish])
        stop_index = -1 if matched is None else self.stop.index(matched)
        return Step(*sampled, finish, stop_index, shown.encode(), frames)
