"""What there is on this machine, and whether each station still gives a known answer. Prints nothing.

The tests here are not the test suite: they tell a broken build or machine from a question of use, in a moment.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable
from typing import Any

import numpy as np

from logitwire import _core, pull
from logitwire.errors import LogitwireError

PACKAGES = ("numpy", "click", "rich", "starlette", "uvicorn", "h11", "msgspec", "torch", "transformers")


def examine() -> dict[str, Any]:
    """Everything found, as JSON types. `tests` maps each station to "ok" or to what was wrong."""
    return {
        "logitwire": _core.__version__,
        "build": "debug" if _core.is_debug_build() else "release",
        "python": f"{platform.python_version()} {platform.python_implementation()}",
        "platform": platform.platform(),
        "processor": {"cores": os.cpu_count(), "features": _core.cpu_features()},
        "cache": _cache(),
        "packages": {name: _version(name) for name in PACKAGES},
        "limits": _core.limits(),
        "tests": {name: _outcome(test) for name, test in TESTS.items()},
    }


def is_well(report: dict[str, Any]) -> bool:
    return all(outcome == "ok" for outcome in report["tests"].values())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cache() -> dict[str, str | None]:
    try:
        found = {name: pull.cached(name) for name in pull.MODELS}
        paths = {name: None if path is None else str(path) for name, path in found.items()}
        return {"folder": str(pull.cache_dir()), **paths}
    except (LogitwireError, OSError) as error:
        return {"folder": f"unusable: {error}"}


def _outcome(test: Callable[[], tuple[object, object]]) -> str:
    try:
        got, expected = test()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "ok" if got == expected else f"got {got!r}, expected {expected!r}"


# Each gives (what came out, what must).

VOCAB = [b"He", b"llo", b" \xf0\x9f", b"\x99\x82", b"<end>", b"\xff"]


def _vocab() -> _core.Vocab:
    return _core.Vocab.from_bytes(VOCAB, special_ids=[4], eos_ids=[4])


def _detokenize() -> tuple[object, object]:
    stream = _vocab().detokenizer()
    return [*(stream.step(id) for id in range(6)), stream.finish()], ["He", "llo", " ", "🙂", "", "\ufffd", ""]


def _stop() -> tuple[object, object]:
    stop = _core.StopMatcher(["END", "\n\n"])
    return [stop.feed("the E"), stop.feed("N\n"), stop.feed("\n of it")], [("the ", None), ("EN", None), ("", "\n\n")]


def _mask() -> tuple[object, object]:
    logits = np.zeros((1, 40), np.float32)
    _core.apply_mask(logits, np.array([[1 << 5, 1 << 7]], np.int32))
    return np.flatnonzero(logits[0] == 0).tolist(), [5, 39]


def _sample() -> tuple[object, object]:
    row = (np.arange(1000) % 97).astype(np.float32)[np.newaxis] / 16
    sampler = _core.Sampler(1000)
    drawn = sampler.add(_core.SamplingParams(temperature=0.8, top_k=200, top_p=0.9, seed=42))
    greedy = sampler.add(_core.SamplingParams(temperature=0))
    got = [sampler.step(np.repeat(row, 2, axis=0), [drawn, greedy]).tokens.tolist() for _ in range(6)]
    return got, [[token, 96] for token in (666, 968, 863, 767, 378, 376)]


def _batch() -> tuple[object, object]:
    batch = _core.Batch(_vocab())
    slot = batch.add(_core.SamplingParams(temperature=0), max_tokens=10)
    text = b""
    for token in (0, 1, 2, 3, 4):
        output = batch.step(np.eye(6, dtype=np.float32)[token : token + 1], [slot])
        text += output.text
    return (text.decode(), output.finish.tolist()), ("Hello 🙂", [1])


def _sse() -> tuple[object, object]:
    wire = (
        _core.sse_comment("hi") + _core.sse_frame("one\ntwo", event="greeting") + _core.sse_frame("é") + _core.SSE_DONE
    )
    parser = _core.SseParser()
    events = [event for i in range(len(wire)) for event in parser.feed(wire[i : i + 1])]
    return [(e.type, e.data) for e in events], [("greeting", "one\ntwo"), ("message", "é"), ("message", "[DONE]")]


def _template() -> tuple[object, object]:
    template = _core.ChatTemplate("{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{% endfor %}")
    return template.render([{"role": "user", "content": " hi "}]), "<user>hi"


TESTS: dict[str, Callable[[], tuple[object, object]]] = {
    "detokenize": _detokenize,
    "stop": _stop,
    "mask": _mask,
    "sample": _sample,
    "batch": _batch,
    "sse": _sse,
    "template": _template,
}
