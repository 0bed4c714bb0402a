"""The engine on the null model: in whatever company, each request gets exactly what it gets alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from reference import line as reference
from reference.byte_level import tokenizer_json
from reference.null_model import NullCache, NullModel, logits_after, null_callable

import logitwire as lw
from logitwire.models import Candidates

TOKENIZER = lw.Tokenizer.from_json(tokenizer_json())
VOCAB = TOKENIZER.vocab
PADDED = len(VOCAB) + 20
PROMPTS = [[1], [2, 3], [5] * 17, [7, 8, 9], list(range(40, 75)), [0], [300, 301], [9, 8, 7, 6, 5]]


def requests() -> list[lw.Request]:
    """Eight prompts with eight ways to draw and to end."""
    options: list[dict[str, Any]] = [
        {"params": lw.SamplingParams(temperature=0), "max_tokens": 30},
        {"params": lw.SamplingParams(seed=1), "max_tokens": 25, "stop": ["a", "é"]},
        {"params": lw.SamplingParams(seed=2, top_k=5, logprobs=3), "max_tokens": 20},
        {"params": lw.SamplingParams(seed=3, top_p=0.6), "max_tokens": 1},
        {"params": lw.SamplingParams(seed=4, temperature=0.7), "max_tokens": 33, "ignore_eos": True},
        {"params": lw.SamplingParams(seed=5, logprobs=0), "max_tokens": 12, "skip_special_tokens": False},
        {
            "params": lw.SamplingParams(seed=6),
            "max_tokens": 28,
            "stop_token_ids": list(range(100, 140)),
            "min_tokens": 9,
        },
        {
            "params": lw.SamplingParams(seed=7),
            "max_tokens": 18,
            "stop": ["t", "ing "],
            "include_stop": True,
            "stop_tie": "list",
        },
    ]
    return [
        lw.Request(prompt_ids=prompt, framer=lw.sse.Framer("chat", id=f"r{i}", model="null", created=i), **option)
        if option["params"].logprobs is None
        else lw.Request(prompt_ids=prompt, **option)
        for i, (prompt, option) in enumerate(zip(PROMPTS, options, strict=True))
    ]


@dataclass
class Outcome:
    """All that came of a request, put together."""

    token_ids: list[int] = field(default_factory=list)
    text: str = ""
    frames: bytes = b""
    logprobs: list[tuple[int, float, int, list[tuple[int, float]]]] = field(default_factory=list)
    finish_reason: str | None = None
    stop: str | None = None


def alone(request: lw.Request, *, vocab_size: int = PADDED) -> Outcome:
    """Without the engine: the hash's logits down the line of stations, token by token."""
    line = reference.Line(
        VOCAB,
        request.params,
        vocab_size=vocab_size,
        max_tokens=request.max_tokens,
        min_tokens=request.min_tokens,
        stop=request.stop,
        include_stop=request.include_stop,
        stop_tie=request.stop_tie,
        stop_token_ids=request.stop_token_ids,
        ignore_eos=request.ignore_eos,
        skip_special_tokens=request.skip_special_tokens,
        framer=request.framer,
    )
    ids, out, text = list(request.prompt_ids), Outcome(), b""
    while out.finish_reason is None:
        step = line.step(logits_after(ids, vocab_size))
        ids.append(step.token)
        out.token_ids.append(step.token)
        text, out.frames = text + step.text, out.frames + step.frames
        if request.params.logprobs is not None:
            out.logprobs.append((step.token, step.logprob, step.rank, step.top))
        if step.finish != reference.RUNNING:
            out.finish_reason = reference.REASONS[step.finish]
            out.stop = request.stop[step.stop_index] if step.stop_index >= 0 else None
    out.text = text.decode()
    return out


def gather(pieces: Sequence[lw.Piece]) -> Outcome:
    out = Outcome()
    for number, piece in enumerate(pieces):
        assert (piece.finish_reason is not None) == (number == len(pieces) - 1)
        out.text, out.frames = out.text + piece.text, out.frames + piece.frames
        out.token_ids += piece.token_ids
        out.logprobs += [(x.token_id, x.logprob, x.rank, [(i, p) for i, p in x.top]) for x in piece.logprobs]
        out.finish_reason, out.stop = piece.finish_reason, piece.stop
    return out


def run_by_hand(engine: lw.Engine, submitted: Sequence[lw.Request]) -> list[Outcome]:
    generations = [engine.submit(request) for request in submitted]
    while engine.step():
        pass
    return [gather(list(generation)) for generation in generations]


@pytest.fixture(scope="module")
def expected() -> list[Outcome]:
    outcomes = [alone(request) for request in requests()]
    assert {"stop", "length"} <= {o.finish_reason for o in outcomes}
    assert any(o.stop for o in outcomes)
    return outcomes


# -- equal to alone ----------------------------------------------------------------------------------------------------


def test_each_alone(expected: list[Outcome]) -> None:
    for request, want in zip(requests(), expected, strict=True):
        assert run_by_hand(lw.Engine(NullModel(PADDED), TOKENIZER), [request]) == [want]


def test_eight_together(expected: list[Outcome]) -> None:
    model = NullModel(PADDED)
    assert run_by_hand(lw.Engine(model, TOKENIZER), requests()) == expected
    assert max(len(call) for call in model.calls) == 8


@pytest.mark.parametrize("prefill_chunk", [1, 2, 3, 16, 17, 1000])
@pytest.mark.parametrize("max_batch", [1, 3, 8])
def test_chunks_of_prefill_and_size_of_batch_change_nothing(
    prefill_chunk: int, max_batch: int, expected: list[Outcome]
) -> None:
    model = NullModel(PADDED)
    engine = lw.Engine(model, TOKENIZER, prefill_chunk=prefill_chunk, max_batch=max_batch)
    assert run_by_hand(engine, requests()) == expected
    assert max(len(call) for call in model.calls) <= max_batch
    assert max(n for call in model.calls for n in call) <= max(prefill_chunk, 1)


def test_whoever_comes_later_or_earlier(expected: list[Outcome]) -> None:
    engine = lw.Engine(NullModel(PADDED), TOKENIZER, max_batch=4)
    generations: dict[int, lw.Generation] = {}
    for number, i in enumerate([3, 0, 7, 1, 6, 2, 5, 4]):
        generations[i] = engine.submit(requests()[i])
        for _ in range(number % 4):
            engine.step()
    while engine.step():
        pass
    assert [gather(list(generations[i])) for i in range(8)] == expected


def test_a_long_prompt_does_not_stop_the_others() -> None:
    """While it is read in chunks, whoever runs goes on."""
    engine = lw.Engine(NullModel(PADDED), TOKENIZER, prefill_chunk=4)
    short = engine.submit(
        lw.Request(prompt_ids=[1], params=lw.SamplingParams(temperature=0), max_tokens=200, ignore_eos=True)
    )
    engine.step()
    engine.submit(lw.Request(prompt_ids=[2] * 100, params=lw.SamplingParams(temperature=0), max_tokens=1))
    before = short.completion_tokens
    for _ in range(10):
        engine.step()
    assert short.completion_tokens >= before + 9


@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(lambda rows: rows, id="numpy"),
        pytest.param(lambda rows: np.asfortranarray(np.pad(rows, ((0, 0), (3, 2))))[:, 3:-2].copy(), id="copied"),
        pytest.param(lambda rows: np.pad(rows, ((0, 0), (3, 2)))[:, 3:-2], id="strided"),
        pytest.param(lambda rows: np.require(rows, requirements="W"), id="writable"),
    ],
)
def test_kinds_of_logits(convert: Callable[[np.ndarray], Any], expected: list[Outcome]) -> None:
    assert run_by_hand(lw.Engine(NullModel(PADDED, convert=convert), TOKENIZER), requests()) == expected


def test_torch_logits(expected: list[Outcome]) -> None:
    torch = pytest.importorskip("torch")
    assert run_by_hand(lw.Engine(NullModel(PADDED, convert=torch.from_numpy), TOKENIZER), requests()) == expected


def test_read_only_logits(expected: list[Outcome]) -> None:
    def freeze(rows: np.ndarray) -> np.ndarray:
        rows.flags.writeable = False
        return rows

    assert run_by_hand(lw.Engine(NullModel(PADDED, convert=freeze), TOKENIZER), requests()) == expected


def test_candidates_instead_of_rows(expected: list[Outcome]) -> None:
    """All of a row as candidates is the row, but for log-probabilities, whose normaliser then comes from the model."""

    def reduce(rows: np.ndarray) -> Candidates:
        ids = np.argsort(-rows, axis=1, kind="stable").astype(np.int32)
        lse = np.log(np.exp(rows.astype(np.float64)).sum(axis=1)).astype(np.float32)
        return Candidates(ids=ids, logits=np.take_along_axis(rows, ids, axis=1), logsumexp=lse)

    got = run_by_hand(lw.Engine(NullModel(PADDED, convert=reduce), TOKENIZER), requests())
    for outcome, want in zip(got, expected, strict=True):
        assert [x[1] for x in outcome.logprobs] == pytest.approx([x[1] for x in want.logprobs], abs=1e-5)
        outcome.logprobs = want.logprobs
    assert got == expected


def test_a_callable_is_a_model(expected: list[Outcome]) -> None:
    assert run_by_hand(lw.Engine(null_callable(PADDED), TOKENIZER), requests()) == expected


def test_the_thread_gives_what_steps_by_hand_give(expected: list[Outcome]) -> None:
    with lw.Engine(NullModel(PADDED), TOKENIZER, prefill_chunk=5) as engine:
        engine.start()
        engine.start()
        generations = [engine.submit(request) for request in requests()]
        assert [gather(list(generation)) for generation in generations] == expected


def test_many_threads_submit(expected: list[Outcome]) -> None:
    outcomes: list[Outcome | None] = [None] * 16
    with lw.Engine(NullModel(PADDED), TOKENIZER, max_batch=3) as engine:
        engine.start()

        def client(i: int) -> None:
            outcomes[i] = gather(list(engine.submit(requests()[i % 8])))

        threads = [threading.Thread(target=client, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert outcomes == expected * 2


def test_asyncio(expected: list[Outcome]) -> None:
    async def client(engine: lw.Engine, request: lw.Request) -> Outcome:
        return gather([piece async for piece in engine.submit(request)])

    async def taker(engine: lw.Engine, request: lw.Request) -> Outcome:
        generation, pieces = engine.submit(request), []
        while ready := await generation.take():
            pieces += ready
        assert await generation.take() == []
        return gather(pieces)

    async def main(kind: Callable[..., Any]) -> list[Outcome]:
        with lw.Engine(NullModel(PADDED), TOKENIZER) as engine:
            engine.start()
            return list(await asyncio.gather(*(kind(engine, request) for request in requests())))

    assert asyncio.run(main(client)) == expected
    assert asyncio.run(main(taker)) == expected


# -- what a generation says of itself ----------------------------------------------------------------------------------


def test_counts_and_stats(expected: list[Outcome]) -> None:
    engine = lw.Engine(NullModel(PADDED), TOKENIZER, max_batch=2)
    assert engine.stats() == {"running": 0, "waiting": 0, "tokens": 0, "steps": 0}
    chosen = [0, 4, 2]
    generations = [engine.submit(requests()[i]) for i in chosen]
    assert [g.prompt_tokens for g in generations] == [1, 35, 17]
    assert [g.completion_tokens for g in generations] == [0, 0, 0]
    assert engine.stats()["waiting"] == 3
    assert engine.step() is True
    assert (engine.stats()["running"], engine.stats()["waiting"]) == (2, 1)
    while engine.step():
        pass
    assert [g.completion_tokens for g in generations] == [len(expected[i].token_ids) for i in chosen]
    assert [g.finish_reason for g in generations] == [expected[i].finish_reason for i in chosen]
    stats = engine.stats()
    assert (stats["running"], stats["waiting"]) == (0, 0)
    assert stats["tokens"] == sum(len(expected[i].token_ids) for i in chosen)
    assert stats["steps"] > 0
    assert engine.step() is False


def test_defaults_come_from_the_model() -> None:
    model = NullModel(PADDED, tokenizer=TOKENIZER, context_length=64)
    engine = lw.Engine(model)
    assert (engine.name, engine.tokenizer, engine.context_length, engine.chat_template) == ("null", TOKENIZER, 64, None)
    assert engine.model is model
    assert len(engine.vocab) == len(VOCAB)
    assert lw.Engine(model, name="other").name == "other"
    assert lw.Engine(null_callable(PADDED), TOKENIZER).name == "model"
    assert lw.Engine(null_callable(PADDED), TOKENIZER).context_length is None


def test_an_engine_without_a_tokenizer() -> None:
    with pytest.raises((lw.ParameterError, lw.ModelError), match="tokenizer"):
        lw.Engine(NullModel(PADDED))


@pytest.mark.parametrize("thing", [None, 5, "smollm2", NullModel, object()])
def test_what_is_no_model(thing: object) -> None:
    with pytest.raises(lw.ModelError):
        lw.Engine(thing, TOKENIZER)


def test_a_model_narrower_than_its_tokenizer() -> None:
    with pytest.raises((lw.VocabError, lw.ModelError)):
        lw.Engine(NullModel(len(VOCAB) - 1), TOKENIZER)


# -- how it ends -------------------------------------------------------------------------------------------------------


class Scripted(NullModel):
    """Draws these ids after any prompt of one token."""

    def __init__(self, script: Sequence[int], **options: Any) -> None:
        super().__init__(len(VOCAB), **options)
        self.script = script

    def forward(self, rows: Sequence[tuple[NullCache, Sequence[int]]], *, positions: str = "last") -> Any:
        super().forward(rows)
        at = [min(cache.len - 1, len(self.script) - 1) for cache, _ in rows]
        return np.stack([np.where(np.arange(self.vocab_size) == self.script[i], 9, 0).astype(np.float32) for i in at])


def ids(*texts: str) -> list[int]:
    return [i for text in texts for i in TOKENIZER.encode(text, allow_special=True)]


def ending(script: Sequence[int], **options: Any) -> tuple[str, str | None, str | None, int]:
    engine = lw.Engine(Scripted(script), TOKENIZER)
    request = lw.Request(prompt_ids=[1], params=lw.SamplingParams(temperature=0), **options)
    (out,) = run_by_hand(engine, [request])
    return out.text, out.finish_reason, out.stop, len(out.token_ids)


def test_endings() -> None:
    hello = ids("hello", "</s>")
    n = len(hello)
    assert ending(hello) == ("hello", "stop", None, n)
    assert ending(hello, max_tokens=n) == ("hello", "stop", None, n)
    assert ending(hello, stop=["zz", "o"]) == ("hell", "stop", "o", n - 1)
    assert ending(hello, stop=["ell"], include_stop=True)[:3] == ("hell", "stop", "ell")
    assert ending(hello, stop_token_ids=hello[:1]) == ("", "stop", None, 1)
    assert ending(hello, stop=["</s>"]) == ("hello", "stop", "</s>", n)
    assert ending(hello, stop=["</s>"], include_stop=True) == ("hello</s>", "stop", "</s>", n)
    assert ending(ids("lo", "lo"), stop=["lo", "o"], min_tokens=len(ids("lo"))) == (
        "lo",
        "stop",
        "lo",
        len(ids("lolo")),
    )
    assert ending(hello, stop=["o", "lo"], stop_tie="list")[:3] == ("hell", "stop", "o")
    assert ending([*hello, *hello], ignore_eos=True, max_tokens=n + 1)[1:] == ("length", None, n + 1)
    shown = ending([*hello, *hello], ignore_eos=True, max_tokens=n, skip_special_tokens=False)
    assert shown == ("hello</s>", "length", None, n)


def test_half_a_character_at_the_end() -> None:
    euro = [i for byte in "€".encode() for i in range(256) if VOCAB.token_bytes(i) == bytes([byte])]
    assert ending(euro, max_tokens=3) == ("€", "length", None, 3)
    assert ending(euro, max_tokens=2) == ("\ufffd", "length", None, 2)


def test_until_the_context_is_full() -> None:
    model = NullModel(PADDED, context_length=20)
    request = lw.Request(prompt_ids=[1] * 5, params=lw.SamplingParams(temperature=0), ignore_eos=True)
    (out,) = run_by_hand(lw.Engine(model, TOKENIZER), [request])
    assert out.finish_reason == "length"
    assert out == alone(lw.Request(prompt_ids=[1] * 5, params=request.params, ignore_eos=True, max_tokens=15))


# -- what is refused ---------------------------------------------------------------------------------------------------


def refused(error: type[BaseException], engine: lw.Engine | None = None, **options: Any) -> Any:
    engine = engine or lw.Engine(NullModel(PADDED, context_length=20), TOKENIZER)
    with pytest.raises(error) as caught:
        engine.submit(lw.Request(**{"prompt_ids": [1], **options}))
    assert engine.stats()["waiting"] == 0
    assert engine.step() is False
    return caught.value


def test_an_empty_prompt() -> None:
    assert refused(lw.ParameterError, prompt_ids=[]).http_status == 400


@pytest.mark.parametrize("max_tokens", [0, -1, -(2**40)])
def test_max_tokens_out_of_range(max_tokens: int) -> None:
    assert refused(lw.ParameterError, max_tokens=max_tokens).field == "max_tokens"


@pytest.mark.parametrize(("min_tokens", "max_tokens"), [(-1, None), (6, 5), (20, None), (2**40, None)])
def test_min_tokens_out_of_range(min_tokens: int, max_tokens: int | None) -> None:
    error = refused(lw.ParameterError, min_tokens=min_tokens, max_tokens=max_tokens)
    assert (error.field, error.http_status) == ("min_tokens", 400)


@pytest.mark.parametrize("token_id", [-1, len(VOCAB), PADDED, 2**31, 2**40])
def test_unknown_ids(token_id: int) -> None:
    assert refused(lw.TokenIdError, prompt_ids=[1, token_id, 2]).token_id == token_id
    assert refused(lw.TokenIdError, stop_token_ids=[token_id]).http_status == 400


@pytest.mark.parametrize("n", [20, 21, 5000])
def test_a_prompt_that_leaves_no_room(n: int) -> None:
    assert refused(lw.ParameterError, prompt_ids=[1] * n).http_status == 400


def test_more_tokens_than_there_is_room_for() -> None:
    assert refused(lw.ParameterError, prompt_ids=[1] * 15, max_tokens=6).field == "max_tokens"
    engine = lw.Engine(NullModel(PADDED, context_length=20), TOKENIZER)
    assert len(run_by_hand(engine, [lw.Request(prompt_ids=[1] * 19, max_tokens=1)])[0].token_ids) == 1


def test_stops_out_of_range() -> None:
    refused(lw.ParameterError, stop=[""])
    refused(lw.LimitError, stop=["x"] * 17)
    assert refused(lw.ParameterError, stop=["x"], stop_tie="first").field == "stop_tie"


def test_requests_do_not_change() -> None:
    request = requests()[0]
    with pytest.raises(AttributeError):
        request.max_tokens = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        lw.Request([1])  # type: ignore[misc]


@pytest.mark.parametrize(
    ("option", "value"),
    [("max_batch", 0), ("prefill_chunk", 0), ("queue_size", 0), ("queue_size", -1), ("max_waiting", -1)],
)
def test_engine_options_out_of_range(option: str, value: int) -> None:
    with pytest.raises(lw.ParameterError, match=option):
        lw.Engine(NullModel(PADDED), TOKENIZER, **{option: value})


def test_a_full_queue() -> None:
    engine = lw.Engine(NullModel(PADDED), TOKENIZER, max_batch=1, max_waiting=2)
    long = lw.Request(prompt_ids=[1], params=lw.SamplingParams(temperature=0), max_tokens=50, ignore_eos=True)
    running = engine.submit(long)
    engine.step()
    engine.submit(long)
    last = engine.submit(long)
    with pytest.raises(lw.QueueFullError) as caught:
        engine.submit(long)
    assert caught.value.http_status == 429
    last.cancel()
    running.cancel()
    engine.step()
    engine.submit(long)


# -- cancel, close -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["engine", "generation"])
def test_cancel_ends_it_within_one_step(how: str, expected: list[Outcome]) -> None:
    model = NullModel(PADDED)
    engine = lw.Engine(model, TOKENIZER)
    generations = [engine.submit(request) for request in requests()]
    for _ in range(4):
        engine.step()
    victim = generations[4]
    drawn = victim.completion_tokens
    assert drawn > 0
    engine.cancel(victim) if how == "engine" else victim.cancel()
    engine.step()
    model.calls.clear()
    while engine.step():
        pass
    assert victim.finish_reason == "cancelled"
    assert victim.completion_tokens <= drawn + 1
    assert list(victim) == []  # what nobody read is lost
    assert [gather(list(g)) for g in generations if g is not victim] == expected[:4] + expected[5:]


def test_cancel_before_it_began_twice_and_after_the_end() -> None:
    engine = lw.Engine(NullModel(PADDED), TOKENIZER, max_batch=1)
    first, waiting = (engine.submit(requests()[0]) for _ in range(2))
    waiting.cancel()
    waiting.cancel()
    while engine.step():
        pass
    assert (list(waiting), waiting.finish_reason) == ([], "cancelled")
    first.cancel()
    assert first.finish_reason == "length"
    assert gather(list(first)).finish_reason == "length"


def test_cancelling_frees_the_place() -> None:
    engine = lw.Engine(NullModel(PADDED), TOKENIZER, max_batch=1)
    endless = lw.Request(prompt_ids=[1], params=lw.SamplingParams(temperature=0), ignore_eos=True)
    running, waiting = engine.submit(endless), engine.submit(requests()[3])
    for _ in range(5):
        engine.step()
    assert waiting.completion_tokens == 0
    running.cancel()
    for _ in range(3):
        engine.step()
    assert waiting.completion_tokens == 1


def test_closing_ends_what_runs_and_what_waits() -> None:
    engine = lw.Engine(NullModel(PADDED), TOKENIZER, max_batch=1)
    endless = lw.Request(prompt_ids=[1], params=lw.SamplingParams(temperature=0), ignore_eos=True)
    generations = [engine.submit(endless) for _ in range(3)]
    for _ in range(3):
        engine.step()
    engine.close()
    engine.close()
    for generation in generations:
        with pytest.raises(lw.EngineClosedError) as caught:
            list(generation)
        assert caught.value.http_status == 503
    with pytest.raises(lw.EngineClosedError):
        engine.submit(endless)


def test_pieces_before_a_failure_come_first() -> None:
    engine = lw.Engine(NullModel(PADDED), TOKENIZER)
    generation = engine.submit(requests()[4])
    for _ in range(4):
        engine.step()
    n_drawn = generation.completion_tokens
    engine.close()
    got = [next(generation).token_ids for _ in range(n_drawn)]
    assert len(got) == n_drawn > 0
    with pytest.raises(lw.EngineClosedError):
        next(generation)
    with pytest.raises(StopIteration):
        next(generation)


def test_closing_wakes_those_who_wait() -> None:
    release = threading.Event()

    class Slow(NullModel):
        def forward(self, rows: Any, *, positions: Any = "last") -> Any:
            release.wait(10)
            return super().forward(rows, positions=positions)

    engine = lw.Engine(Slow(PADDED), TOKENIZER)
    engine.start()
    generation = engine.submit(requests()[0])
    errors: list[BaseException] = []

    def consume() -> None:
        try:
            list(generation)
        except lw.EngineClosedError as error:
            errors.append(error)

    consumer = threading.Thread(target=consume)
    consumer.start()
    closer = threading.Thread(target=engine.close)
    closer.start()
    closer.join(0.2)
    release.set()
    consumer.join(20)
    closer.join(20)
    assert not consumer.is_alive()
    assert not closer.is_alive()
    assert len(errors) == 1


def test_an_engine_dropped_without_close_does_not_hang_the_process() -> None:
    import subprocess
    import sys
    from pathlib import Path

    code = (
        "import logitwire as lw\nfrom reference.byte_level import tokenizer_json\n"
        "from reference.null_model import NullModel\n"
        "engine = lw.Engine(NullModel(480), lw.Tokenizer.from_json(tokenizer_json()))\nengine.start()\n"
        "engine.submit(lw.Request(prompt_ids=[1], ignore_eos=True))\nprint('end')\n"
    )
    where = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=where, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr[-500:]


# -- slow clients ------------------------------------------------------------------------------------------------------


def test_a_slow_client_pauses_only_itself(expected: list[Outcome]) -> None:
    queue_size = 4
    with lw.Engine(NullModel(PADDED), TOKENIZER, queue_size=queue_size) as engine:
        slow = engine.submit(requests()[4])
        quick = [engine.submit(request) for request in requests()[:3]]
        engine.start()
        assert [gather(list(generation)) for generation in quick] == expected[:3]
        assert slow.completion_tokens <= queue_size + 1
        assert slow.finish_reason is None
        assert gather(list(slow)) == expected[4]


def test_by_hand_a_full_queue_is_nothing_to_do() -> None:
    engine = lw.Engine(NullModel(PADDED), TOKENIZER, queue_size=3)
    generation = engine.submit(requests()[4])
    for _ in range(200):
        if not engine.step():
            break
    else:
        pytest.fail("it never paused")
    assert generation.completion_tokens <= 4
    pieces = []
    for piece in generation:
        pieces.append(piece)
        engine.step()
    assert gather(pieces) == alone(requests()[4])


# -- models that break -------------------------------------------------------------------------------------------------

POISON = 77


class Poisoned(NullModel):
    """Breaks when a row has the poison in its context; every cache has been written by then."""

    def __init__(self, breaks: Callable[[Any, list[int]], Any]) -> None:
        super().__init__(PADDED)
        self.breaks = breaks

    def forward(self, rows: Sequence[tuple[NullCache, Sequence[int]]], *, positions: Any = "last") -> Any:
        out = super().forward(rows, positions=positions)
        bad = [i for i, (cache, _) in enumerate(rows) if POISON in cache.ids]
        return self.breaks(out, bad) if bad else out


def raises(out: Any, bad: list[int]) -> Any:
    raise RuntimeError("out of memory, or so")


def nan_rows(out: Any, bad: list[int]) -> Any:
    out[bad] = np.nan
    return out


def empty_rows(out: Any, bad: list[int]) -> Any:
    out[bad] = -np.inf
    return out


BREAKS = {
    "raises": (raises, lw.ModelError),
    "too narrow": (lambda out, bad: out[:, :-1], lw.ModelError),
    "too wide": (lambda out, bad: np.pad(out, ((0, 0), (0, 1))), lw.ModelError),
    "too few rows": (lambda out, bad: out[:-1], lw.ModelError),
    "too many rows": (lambda out, bad: np.concatenate([out, out]), lw.ModelError),
    "float64": (lambda out, bad: out.astype(np.float64), lw.ModelError),
    "nothing": (lambda out, bad: None, lw.ModelError),
    "no array": (lambda out, bad: "logits", lw.ModelError),
    "nan": (nan_rows, lw.LogitsError),
    "all -inf": (empty_rows, lw.LogitsError),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_model_that_breaks_fails_only_its_request(name: str, expected: list[Outcome]) -> None:
    breaks, kind = BREAKS[name]
    engine = lw.Engine(Poisoned(breaks), TOKENIZER)
    poisoned = lw.Request(prompt_ids=[3, POISON, 4], params=lw.SamplingParams(seed=1), max_tokens=5)
    good = [i for i, o in enumerate(expected) if POISON not in [*PROMPTS[i], *o.token_ids]]
    assert len(good) >= 6
    generations = []
    for number, i in enumerate(good):
        generations.append(engine.submit(requests()[i]))
        if number == 2:
            bad = engine.submit(poisoned)
    while engine.step():
        pass
    with pytest.raises(kind) as caught:
        list(bad)
    assert caught.value.http_status == 500
    if name == "raises":
        assert isinstance(caught.value.__cause__, RuntimeError)
        assert "out of memory, or so" in str(caught.value)
    assert [gather(list(g)) for g in generations] == [expected[i] for i in good]
    assert engine.stats()["running"] == 0
    assert run_by_hand(engine, [requests()[good[0]]]) == [expected[good[0]]]


def test_by_hand_asyncio_says_who_must_step() -> None:
    generation = lw.Engine(NullModel(PADDED), TOKENIZER).submit(requests()[0])
    with pytest.raises(lw.EngineError) as caught:
        asyncio.run(generation.take())
    assert "start()" in caught.value.hint


def test_step_and_start_do_not_mix() -> None:
    with lw.Engine(NullModel(PADDED), TOKENIZER) as engine:
        engine.start()
        with pytest.raises(lw.EngineError):
            engine.step()
    with pytest.raises(lw.EngineClosedError):
        engine.step()
    with pytest.raises(lw.EngineClosedError):
        engine.start()


def test_letting_go_of_a_generation_cancels_it() -> None:
    engine = lw.Engine(NullModel(PADDED), TOKENIZER)
    generation = engine.submit(lw.Request(prompt_ids=[1], ignore_eos=True))
    engine.step()
    assert engine.stats()["running"] == 1
    del generation
    engine.step()
    assert engine.stats()["running"] == 0
    assert engine.step() is False


def test_a_break_in_the_middle_of_a_generation() -> None:
    calls = []

    class Late(NullModel):
        def forward(self, rows: Any, *, positions: Any = "last") -> Any:
            calls.append(1)
            if len(calls) > 5:
                raise ValueError("late")
            return super().forward(rows, positions=positions)

    engine = lw.Engine(Late(PADDED), TOKENIZER)
    generation = engine.submit(requests()[4])
    while engine.step():
        pass
    got = [token for _ in range(5) for token in next(generation).token_ids]
    assert got == alone(requests()[4]).token_ids[:5]
    with pytest.raises(lw.ModelError, match="late"):
        next(generation)


def test_a_model_that_breaks_does_not_end_the_thread(expected: list[Outcome]) -> None:
    with lw.Engine(Poisoned(raises), TOKENIZER) as engine:
        engine.start()
        bad = engine.submit(lw.Request(prompt_ids=[POISON], max_tokens=5))
        with pytest.raises(lw.ModelError):
            list(bad)
        assert gather(list(engine.submit(requests()[0]))) == expected[0]


def test_a_cache_that_cannot_be_made() -> None:
    class NoCache(NullModel):
        def new_cache(self) -> NullCache:
            raise MemoryError("no room")

    engine = lw.Engine(NoCache(PADDED), TOKENIZER)
    generation = engine.submit(requests()[0])
    while engine.step():
        pass
    with pytest.raises(lw.ModelError, match="no room"):
        list(generation)


def test_a_reader_with_much_to_read_leaves_the_loop_to_others() -> None:
    engine = lw.Engine(NullModel(PADDED), TOKENIZER)
    generation = engine.submit(lw.Request(prompt_ids=[1], max_tokens=8, ignore_eos=True))
    while engine.step():
        pass
    turns = []

    async def main() -> None:
        other = asyncio.ensure_future(asyncio.sleep(0, "ran"))
        async for _ in generation:
            turns.append(other.done())

    asyncio.run(main())
    assert len(turns) == 8
    assert turns[1:] == [True] * 7


def test_letting_go_of_a_paused_generation_frees_its_slot() -> None:
    with lw.Engine(NullModel(PADDED), TOKENIZER, max_batch=1, queue_size=2).start() as engine:
        first = engine.submit(lw.Request(prompt_ids=[1], ignore_eos=True))
        next(first)
        second = engine.submit(requests()[0])
        del first
        assert gather(list(second)) == alone(requests()[0])


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
def test_whatever_a_model_raises_in_the_engines_thread_is_its_own(error: type[BaseException]) -> None:
    class Leaves(NullModel):
        def forward(self, rows: Any, *, positions: Any = "last") -> Any:
            if any(list(ids) == [1] for _, ids in rows):
                raise error
            return super().forward(rows, positions=positions)

    with lw.Engine(Leaves(PADDED), TOKENIZER).start() as engine:
        good, bad = engine.submit(requests()[1]), engine.submit(lw.Request(prompt_ids=[1]))
        with pytest.raises(lw.ModelError, match=error.__name__):
            list(bad)
        assert gather(list(good)) == alone(requests()[1])
        assert not engine.closed


def test_an_engine_that_breaks_is_closed_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with lw.Engine(NullModel(PADDED), TOKENIZER) as engine:
        monkeypatch.setattr(engine, "_schedule", lambda: 1 / 0)
        generation = engine.submit(requests()[0])
        engine.start()
        with pytest.raises(lw.EngineClosedError):
            list(generation)
        assert engine.closed


def test_starting_while_somebody_reads_by_hand() -> None:
    for _ in range(10):
        engine = lw.Engine(NullModel(PADDED), TOKENIZER)
        generation = engine.submit(requests()[4])
        starter = threading.Timer(0.001, engine.start)
        starter.start()
        assert gather(list(generation)) == alone(requests()[4])
        starter.join()
        engine.close()


def test_a_request_is_what_it_was_when_it_was_submitted() -> None:
    engine = lw.Engine(NullModel(PADDED), TOKENIZER)
    stops, prompt = ["a", "é"], [2, 3]
    changed = engine.submit(lw.Request(prompt_ids=prompt, params=requests()[1].params, max_tokens=25, stop=stops))
    pieces = [next(changed)]
    stops.clear()
    prompt.clear()
    assert [*pieces, *changed][-1].stop == alone(requests()[1]).stop
    first = int(logits_after([1], PADDED)[: len(VOCAB)].argmax())
    once = lw.Request(prompt_ids=iter([1]), params=lw.SamplingParams(temperature=0), stop_token_ids=iter([first]))
    assert [piece.finish_reason for piece in engine.submit(once)] == ["stop"]
    with pytest.raises(lw.ParameterError, match="stop"):
        engine.submit(lw.Request(prompt_ids=[1], stop="END"))


@pytest.mark.parametrize("max_tokens", [True, "3", 2.0])
def test_max_tokens_is_a_whole_number(max_tokens: Any) -> None:
    with pytest.raises(lw.ParameterError, match="max_tokens"):
        lw.Engine(NullModel(PADDED), TOKENIZER).submit(lw.Request(prompt_ids=[1], max_tokens=max_tokens))


def test_one_reader_at_a_time() -> None:
    gate = threading.Event()

    class Gated(NullModel):
        def forward(self, rows: Any, *, positions: Any = "last") -> Any:
            assert gate.wait(60)
            return super().forward(rows, positions=positions)

    async def main(engine: lw.Engine) -> None:
        generation = engine.submit(requests()[3])
        first = asyncio.ensure_future(generation.take())
        await asyncio.sleep(0.01)
        with pytest.raises(lw.EngineError, match="already"):
            await generation.take()
        gate.set()
        assert await first

    with lw.Engine(Gated(PADDED), TOKENIZER).start() as engine:
        asyncio.run(main(engine))


def test_a_cache_of_another_kind_fails_its_own_request() -> None:
    class Odd(NullModel):
        def new_cache(self) -> Any:
            return object()

    engine = lw.Engine(Odd(PADDED), TOKENIZER)
    with pytest.raises(lw.ModelError, match="len"):
        list(engine.submit(requests()[0]))


def test_the_models_own_error_is_the_one_told() -> None:
    class Stuck(NullCache):
        def truncate(self, n: int, /) -> None:
            raise OSError("cannot go back")

    class Bad(NullModel):
        def new_cache(self) -> Any:
            return Stuck()

        def forward(self, rows: Any, *, positions: Any = "last") -> Any:
            raise ValueError("what went wrong")

    with pytest.raises(lw.ModelError, match="what went wrong") as caught:
        list(lw.Engine(Bad(PADDED), TOKENIZER).submit(requests()[0]))
    assert "cannot go back" in caught.value.__notes__[0]
