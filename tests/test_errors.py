"""The error tree: what catches what, what survives pickling, and that every fault says what, where and what to do."""

from __future__ import annotations

import copy
import inspect
import pickle

import numpy as np
import pytest

import logitwire as lw
from logitwire import errors

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.LogitwireError)]
ALSO = {
    "ParameterError": ValueError,
    "LimitError": errors.ParameterError,
    "VocabError": ValueError,
    "TokenizerError": ValueError,
    "TokenIdError": ValueError,
    "ArrayError": (TypeError, ValueError),
    "SlotError": LookupError,
    "LogitsError": ArithmeticError,
    "PayloadError": ValueError,
    "TemplateError": ValueError,
    "GrammarError": ValueError,
    "SchemaError": errors.GrammarError,
    "ModelError": RuntimeError,
    "ModelFileError": (errors.ModelError, ValueError),
    "ModelNotFoundError": FileNotFoundError,
    "PullError": RuntimeError,
    "OfflineError": errors.PullError,
    "EngineError": RuntimeError,
    "QueueFullError": errors.EngineError,
    "EngineClosedError": errors.EngineError,
}
STATUS = {
    400: {
        "ParameterError",
        "LimitError",
        "VocabError",
        "TokenizerError",
        "TokenIdError",
        "TemplateError",
        "GrammarError",
        "SchemaError",
    },
    404: {"ModelNotFoundError"},
    429: {"QueueFullError"},
    502: {"PayloadError"},
    503: {"EngineClosedError"},
}


def test_the_docstring_draws_the_whole_tree() -> None:
    assert errors.__doc__ is not None
    for c in CLASSES:
        assert c.__name__ in errors.__doc__
        assert c.__doc__


def test_what_catches_what() -> None:
    assert {c.__name__ for c in CLASSES} == {"LogitwireError", *ALSO}
    for c in CLASSES[1:]:
        for base in np.atleast_1d(np.array(ALSO.get(c.__name__, Exception), dtype=object)):
            assert issubclass(c, base), (c, base)


def test_whose_fault_it_is() -> None:
    for c in CLASSES:
        want = next((status for status, names in STATUS.items() if c.__name__ in names), 500)
        assert c.http_status == want, c


@pytest.mark.parametrize("c", CLASSES)
def test_every_class_is_at_the_top_and_pickles(c: type[errors.LogitwireError]) -> None:
    assert getattr(lw, c.__name__) is c
    error = c("what went wrong", hint="what to do", field="f", extra=[1, 2])
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301 - our own
        assert type(again) is c
        assert str(again) == str(error) == "what went wrong"
        assert again.__dict__ == error.__dict__
        assert again.hint == "what to do"


def raised(call: object) -> errors.LogitwireError:
    with pytest.raises(errors.LogitwireError) as caught:
        call()  # type: ignore[operator]
    return caught.value


VOCAB = lw.Vocab.from_bytes([b"a", b"b", None])
FAULTS = {
    "parameter": (lambda: lw.SamplingParams(temperature=-1), "ParameterError", {"field": "temperature"}),
    "limit": (lambda: lw.StopMatcher(["x"] * 17), "LimitError", {"got": 17, "maximum": 16}),
    "vocab": (lambda: lw.Vocab.from_bytes([]), "VocabError", {}),
    "token id": (lambda: VOCAB.token_bytes(2), "TokenIdError", {"token_id": 2, "vocab_size": 3}),
    "slot": (lambda: lw.Batch(VOCAB).remove(4), "SlotError", {"slot": 4}),
    "array": (lambda: lw.apply_mask(np.zeros(3), np.zeros(1, np.int32)), "ArrayError", {}),
    "template": (lambda: lw.ChatTemplate("{% if %}"), "TemplateError", {"line": 1}),
    "model file": (lambda: lw.Gguf(b"nope"), "ModelFileError", {"offset": 0}),
    "tokenizer": (lambda: lw.Tokenizer.from_json("{}"), "TokenizerError", {}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_errors_of_the_core_carry_their_facts(name: str) -> None:
    call, kind, facts = FAULTS[name]
    error = raised(call)
    assert type(error).__name__ == kind
    assert {key: getattr(error, key) for key in facts} == facts
    assert all(str(value) in str(error) for key, value in facts.items() if key != "vocab_size")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(again), str(again), again.__dict__) == (type(error), str(error), error.__dict__)
    assert "\n" not in str(error)
    assert str(error) == str(error).strip()


def test_status_and_reason_are_what_the_columns_say() -> None:
    assert [s.name for s in lw.RowStatus][:4] == ["OK", "INF", "NAN", "EMPTY"]
    assert [int(s) for s in lw.RowStatus][:4] == [0, 1, 2, 3]
    assert [(s.name, int(s)) for s in lw.RowStatus][4:] == [("FAULT", 4), ("LIMIT", 5)]
    names = ["RUNNING", "EOS", "STOP_TOKEN", "STOP_STRING", "LENGTH", "ERROR", "GRAMMAR"]
    assert [r.name for r in lw.FinishReason] == names
    assert [int(r) for r in lw.FinishReason] == list(range(7))


def test_limits_are_a_table_of_numbers() -> None:
    table = lw.limits()
    assert all(isinstance(v, int) and v > 0 for v in table.values())
    assert (table["stop_strings"], table["stop_string_bytes"], table["top_logprobs"]) == (16, 1024, 20)
