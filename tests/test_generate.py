"""generate, stream and astream: one request without an engine in sight."""

from __future__ import annotations

import asyncio
import json
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from reference.byte_level import tokenizer_json
from reference.null_model import NullModel, logits_after, null_callable
from test_engine import PADDED, TOKENIZER, Outcome, alone, gather, requests

import logitwire as lw


def options(request: lw.Request) -> dict[str, Any]:
    names = [field.name for field in fields(lw.Request) if field.name not in ("prompt_ids", "framer")]
    return {name: getattr(request, name) for name in names}


def without_frames(request: lw.Request) -> Outcome:
    out = alone(request)
    out.frames = b""
    return out


def outcome(completion: Any) -> Outcome:
    out = Outcome()
    out.text, out.token_ids = completion.text, completion.token_ids
    out.finish_reason, out.stop = completion.finish_reason, completion.stop
    out.logprobs = [(x.token_id, x.logprob, x.rank, list(x.top)) for x in completion.logprobs or []]
    return out


@pytest.mark.parametrize("i", range(8))
def test_generate_stream_and_astream_agree(i: int) -> None:
    request = requests()[i]
    want = without_frames(request)
    completion = lw.generate(NullModel(PADDED), TOKENIZER, request.prompt_ids, **options(request))
    assert outcome(completion) == want
    assert completion.prompt_tokens == len(request.prompt_ids)
    assert gather(list(lw.stream(NullModel(PADDED), TOKENIZER, request.prompt_ids, **options(request)))) == want

    async def collect() -> list[lw.Piece]:
        return [p async for p in lw.astream(NullModel(PADDED), TOKENIZER, request.prompt_ids, **options(request))]

    assert gather(asyncio.run(collect())) == want


def last_row(ids: Any) -> np.ndarray:
    return logits_after(ids, PADDED)


def every_row(ids: Any) -> np.ndarray:
    return np.stack([logits_after(ids[: n + 1], PADDED) for n in range(len(ids))])


def double(ids: Any) -> np.ndarray:
    return last_row(ids).astype(np.float64)


def nested_list(ids: Any) -> Any:
    return last_row(ids).tolist()


@pytest.mark.parametrize("function", [last_row, every_row, double, nested_list])
def test_callables(function: Any) -> None:
    request = requests()[4]
    assert outcome(lw.generate(function, TOKENIZER, request.prompt_ids, **options(request))) == without_frames(request)


def test_torch_callables() -> None:
    torch = pytest.importorskip("torch")
    request = requests()[4]
    for function in (
        lambda ids: torch.from_numpy(last_row(ids)),
        lambda ids: torch.from_numpy(every_row(ids)).requires_grad_(),
    ):
        assert outcome(lw.generate(function, TOKENIZER, request.prompt_ids, **options(request))) == without_frames(
            request
        )


def test_a_prompt_of_text_is_encoded() -> None:
    ids = TOKENIZER.encode("hello <s> wörld")
    by_text = lw.generate(null_callable(PADDED), TOKENIZER, "hello <s> wörld", temperature=0, max_tokens=9)
    by_ids = lw.generate(null_callable(PADDED), TOKENIZER, ids, temperature=0, max_tokens=9)
    assert outcome(by_text) == outcome(by_ids)
    assert by_text.prompt_tokens == len(ids)
    assert TOKENIZER.token_to_id("<s>") not in ids


def test_shorthand_is_params() -> None:
    model = null_callable(PADDED)
    long = lw.generate(
        model,
        TOKENIZER,
        [1],
        params=lw.SamplingParams(temperature=0.7, top_k=9, top_p=0.8, seed=3, logprobs=2),
        max_tokens=9,
    )
    short = lw.generate(model, TOKENIZER, [1], temperature=0.7, top_k=9, top_p=0.8, seed=3, logprobs=2, max_tokens=9)
    assert outcome(long) == outcome(short)
    assert long.logprobs
    with pytest.raises((TypeError, lw.ParameterError)):
        lw.generate(model, TOKENIZER, [1], params=lw.SamplingParams(), temperature=0.5, max_tokens=1)
    with pytest.raises(lw.ParameterError, match="temperature"):
        lw.generate(model, TOKENIZER, [1], temperature=-1)
    with pytest.raises(TypeError):
        lw.generate(model, TOKENIZER, [1], minimum_p=0.1)


def test_every_field_of_the_parameters_is_an_option() -> None:
    from logitwire.generate import Options

    fields = {name for name in vars(lw.SamplingParams) if not name.startswith("_")}
    assert fields <= Options.__annotations__.keys()
    model = null_callable(PADDED)
    some = {"min_p": 0.01, "repetition_penalty": 1.3, "logit_bias": {3: 2.0}, "order": "vllm", "seed": 5}
    short = lw.generate(model, TOKENIZER, [1], max_tokens=9, **some)
    assert outcome(short) == outcome(lw.generate(model, TOKENIZER, [1], max_tokens=9, params=lw.SamplingParams(**some)))


def test_log_probabilities_only_on_request() -> None:
    completion = lw.generate(null_callable(PADDED), TOKENIZER, [1], temperature=0, max_tokens=3)
    assert not completion.logprobs
    assert all(not piece.logprobs for piece in lw.stream(null_callable(PADDED), TOKENIZER, [1], max_tokens=3))


def test_the_model_s_tokenizer_is_the_default() -> None:
    model = NullModel(PADDED, tokenizer=TOKENIZER)
    with_default = lw.generate(model, None, [1], temperature=0, max_tokens=5)
    assert outcome(with_default) == outcome(lw.generate(model, TOKENIZER, [1], temperature=0, max_tokens=5))
    with pytest.raises((lw.ParameterError, lw.ModelError), match="tokenizer"):
        lw.generate(null_callable(PADDED), None, [1])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"prompt": []}, lw.ParameterError),
        ({"prompt": ""}, lw.ParameterError),
        ({"max_tokens": 0}, lw.ParameterError),
        ({"max_tokens": -1}, lw.ParameterError),
        ({"prompt": [1, 10**6]}, lw.TokenIdError),
        ({"prompt": [-1]}, lw.TokenIdError),
        ({"stop_token_ids": [-1]}, lw.TokenIdError),
        ({"stop": [""]}, lw.ParameterError),
        ({"prompt": 5}, TypeError),
        ({"prompt": b"hello"}, TypeError),
        ({"prompt": "a\ud800"}, UnicodeEncodeError),
    ],
    ids=str,
)
def test_refused(changes: dict[str, Any], error: type[BaseException]) -> None:
    given = {"prompt": [1], "max_tokens": 2, **changes}
    prompt = given.pop("prompt")
    with pytest.raises(error):
        lw.generate(null_callable(PADDED), TOKENIZER, prompt, **given)
    with pytest.raises(error):
        list(lw.stream(null_callable(PADDED), TOKENIZER, prompt, **given))


def test_a_model_that_raises() -> None:
    def broken(ids: Any) -> Any:
        raise KeyError("layer 7")

    with pytest.raises(lw.ModelError, match="layer 7") as caught:
        lw.generate(broken, TOKENIZER, [1])
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("logits", [None, "x", np.zeros(3), np.zeros((2, 5, PADDED)), np.zeros(0), {"a": 1}], ids=repr)
def test_a_model_that_gives_no_logits(logits: Any) -> None:
    with pytest.raises((lw.ModelError, lw.VocabError)):
        lw.generate(lambda ids: logits, TOKENIZER, [1])


@pytest.mark.parametrize(("value", "status"), [(np.nan, "nan"), (-np.inf, "empty")])
def test_a_row_without_a_token(value: float, status: str) -> None:
    with pytest.raises(lw.LogitsError) as caught:
        lw.generate(lambda ids: np.full(PADDED, value, np.float32), TOKENIZER, [1])
    assert caught.value.status == status


def test_leaving_a_stream_early() -> None:
    calls = []

    def counting(ids: Any) -> np.ndarray:
        calls.append(len(ids))
        return last_row(ids)

    for piece in lw.stream(counting, TOKENIZER, [1], temperature=0, max_tokens=100, ignore_eos=True):
        if piece.token_ids:
            break
    assert len(calls) < 10

    async def leave() -> None:
        stream = lw.astream(counting, TOKENIZER, [1], temperature=0, max_tokens=10_000, ignore_eos=True)
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())


def test_the_event_loop_runs_while_the_model_does() -> None:
    """astream does not block: a task beside it gets its turns."""
    turns = 0

    async def beside() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> int:
        other = asyncio.create_task(beside())
        pieces = [
            p
            async for p in lw.astream(
                null_callable(PADDED), TOKENIZER, [1], temperature=0, max_tokens=30, ignore_eos=True
            )
        ]
        other.cancel()
        return sum(len(p.token_ids) for p in pieces)

    assert asyncio.run(main()) == 30
    assert turns > 10


def test_streamed_text_is_decoded_text() -> None:
    """Byte for byte, on tokens cut anywhere: the null model draws from all of the vocabulary."""
    tokenizer = lw.Tokenizer.from_json(tokenizer_json(), eos_tokens=[])
    for seed in range(20):
        pieces = list(
            lw.stream(null_callable(len(tokenizer)), tokenizer, [seed], seed=seed, temperature=1.5, max_tokens=60)
        )
        ids = [i for piece in pieces for i in piece.token_ids]
        assert len(ids) == 60
        assert "".join(piece.text for piece in pieces) == tokenizer.decode(ids)


def test_smollm2_says_paris(smollm2: Any) -> None:
    completion = lw.generate(smollm2, None, "The capital of France is", temperature=0, max_tokens=6, logprobs=2)
    assert completion.text.startswith(" Paris")
    assert (completion.finish_reason, completion.prompt_tokens, len(completion.token_ids)) == ("length", 5, 6)
    assert completion.logprobs[0].logprob == pytest.approx(-0.26, abs=0.05)
    pieces = list(lw.stream(smollm2, smollm2.tokenizer, "The capital of France is", temperature=0, max_tokens=6))
    assert "".join(piece.text for piece in pieces) == completion.text == smollm2.tokenizer.decode(completion.token_ids)


def test_smollm2_stops_at_a_string_and_at_its_end(smollm2: Any) -> None:
    completion = lw.generate(smollm2, None, "1, 2, 3, 4,", temperature=0, max_tokens=20, stop=["7"])
    assert (completion.stop, completion.finish_reason, completion.text) == ("7", "stop", " 5, 6, ")
    prompt = smollm2.chat_template.render([{"role": "user", "content": "What is the capital of France?"}])
    ids = smollm2.tokenizer.encode(prompt, allow_special=True)
    answer = lw.generate(smollm2, None, ids, temperature=0, max_tokens=60)
    assert answer.finish_reason == "stop"
    assert answer.token_ids[-1] in smollm2.tokenizer.eos_ids
    assert answer.text == "The capital of France is Paris."


def test_what_nobody_asked_for_fits_into_the_context() -> None:
    class Short(NullModel):
        context_length = 10

    completion = lw.generate(Short(PADDED), TOKENIZER, [1, 2, 3], seed=1, ignore_eos=True)
    assert (len(completion.token_ids), completion.finish_reason) == (7, "length")
    with pytest.raises(lw.ParameterError, match="max_tokens"):
        lw.generate(Short(PADDED), TOKENIZER, [1, 2, 3], max_tokens=8)


def test_a_completion_goes_on_after_its_prompt_and_an_answer_begins_anew() -> None:
    """A vocabulary that marks word beginnings: only an answer's first word loses its blank."""
    words = ["▁Once", "▁upon", "▁a", "▁time", "<0xC3>", "<0xA9>", "<0xFF>"]
    replace = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    decoder = {"type": "Sequence", "decoders": [replace, {"type": "ByteFallback"}, {"type": "Fuse"}, strip]}
    model = {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(words)}, "unk_token": "▁a"}
    tokenizer = lw.Tokenizer.from_json(json.dumps({"version": "1.0", "decoder": decoder, "model": model}))
    rows = np.eye(len(words), dtype=np.float32)

    def counts_up(token_ids: Any) -> np.ndarray:
        return rows[(token_ids[-1] + 1) % len(words)]

    def text(prompt: list[int], n: int, **options: Any) -> str:
        return lw.generate(counts_up, tokenizer, prompt, max_tokens=n, temperature=0, **options).text

    assert text([0], 3) == " upon a time"
    assert text([0], 3, continuation=False) == "upon a time"
    assert text([0, 4], 1) == "é"
    assert text([3], 3) == "é\ufffd"
    assert text([3], 3, byte_fallback="hf") == "\ufffd\ufffd\ufffd"
    assert lw.generate(counts_up, tokenizer, [0], max_tokens=9, temperature=0, stop=[" a"]).text == " upon"
