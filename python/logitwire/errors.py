"""Every error logitwire raises on purpose.

    LogitwireError
    ├── ParameterError (ValueError)        a request's field is out of range: field, value, expected
    │   └── LimitError                     it is beyond a limit: limit, got, maximum, events
    ├── PayloadError (ValueError)          the data of a server-sent event is not JSON: data, position, events
    ├── VocabError (ValueError)            a vocabulary is inconsistent
    ├── TokenizerError (ValueError)        a tokenizer file is broken or of a family not supported
    ├── TokenIdError (ValueError)          a token id outside the vocabulary: token_id, vocab_size
    ├── ArrayError (TypeError, ValueError) an array of the wrong shape, dtype, device or without write access
    ├── SlotError (LookupError)            a slot that is unknown, named twice or finished: slot
    ├── LogitsError (ArithmeticError)      a row gave no token: status
    ├── TemplateError (ValueError)         a chat template failed: line
    ├── GrammarError (ValueError)          a regex or grammar is broken or allows no text: position
    │   └── SchemaError                    a JSON Schema is, or has what is not enforced: pointer, keyword
    ├── ModelError (RuntimeError)          a model broke its protocol or raised
    │   └── ModelFileError (ValueError)    a model file is truncated, hostile or not supported: offset
    ├── ModelNotFoundError (FileNotFoundError)  no such model
    ├── PullError (RuntimeError)           a model could not be fetched
    │   └── OfflineError                   fetching is forbidden and the model is not in the cache
    └── EngineError (RuntimeError)
        ├── QueueFullError                 too many requests wait
        └── EngineClosedError              the engine is closed

Whose fault it is is in the type: `http_status` is 4xx where the request was at fault, 5xx where we or the model were.
`hint` says what to do, where there is something to do.
"""

from __future__ import annotations

from typing import Any, ClassVar


class LogitwireError(Exception):
    """Base of all errors raised on purpose. Attributes not known for one error are None."""

    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str | None = None, **facts: object) -> None:
        super().__init__(message)
        self.hint = hint
        for name, value in facts.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[object, ...]:
        facts = dict(self.__dict__)
        return (_restore, (type(self), str(self), facts))


def _restore(kind: type[LogitwireError], message: str, facts: dict[str, object]) -> LogitwireError:
    return kind(message, **facts)  # type: ignore[arg-type]


class ParameterError(LogitwireError, ValueError):
    """A field of a request is out of its range."""

    http_status = 400
    field: str | None = None
    value: object = None
    expected: str | None = None


class LimitError(ParameterError):
    """Something is larger than a limit allows."""

    limit: str | None = None
    got: int | None = None
    maximum: int | None = None
    events: list[Any] | None = None
    """Of an event stream: what the chunk at fault had completed before."""


class PayloadError(LogitwireError, ValueError):
    """The data of a server-sent event is not JSON: whoever sent it is at fault."""

    http_status = 502
    data: str | None = None
    position: int | None = None
    events: list[Any] | None = None
    """The payloads that the chunk had completed before."""


class VocabError(LogitwireError, ValueError):
    """A vocabulary is inconsistent."""

    http_status = 400


class TokenizerError(LogitwireError, ValueError):
    """A tokenizer file is broken, or of a family that is not supported."""

    http_status = 400


class TokenIdError(LogitwireError, ValueError):
    """A token id outside the vocabulary."""

    http_status = 400
    token_id: int | None = None
    vocab_size: int | None = None


class ArrayError(LogitwireError, TypeError, ValueError):
    """An array of the wrong shape, dtype or device, or without write access."""


class SlotError(LogitwireError, LookupError):
    """A slot that is unknown, named twice in one call, or finished."""

    slot: int | None = None


class LogitsError(LogitwireError, ArithmeticError):
    """A row of logits gave no token: it held NaN, or nothing was allowed."""

    status: str | None = None


class TemplateError(LogitwireError, ValueError):
    """A chat template does not parse, or failed on these messages."""

    http_status = 400
    line: int | None = None


class GrammarError(LogitwireError, ValueError):
    """A regular expression or other grammar is broken, asks for what no automaton can do, or allows no text at all."""

    http_status = 400
    position: int | None = None


class SchemaError(GrammarError):
    """A JSON Schema is broken, allows no value at all, or has a keyword that is not enforced."""

    pointer: str | None = None
    keyword: str | None = None


class ModelError(LogitwireError, RuntimeError):
    """A model broke its protocol or raised."""


class ModelFileError(ModelError, ValueError):
    """A model file is truncated, hostile or not supported."""

    offset: int | None = None


class ModelNotFoundError(LogitwireError, FileNotFoundError):
    """No such model."""

    http_status = 404


class PullError(LogitwireError, RuntimeError):
    """A model could not be fetched."""


class OfflineError(PullError):
    """Fetching is forbidden and the model is not in the cache."""


class EngineError(LogitwireError, RuntimeError):
    """The engine cannot take or go on with a request."""


class QueueFullError(EngineError):
    """Too many requests wait already."""

    http_status = 429


class EngineClosedError(EngineError):
    """The engine is closed."""

    http_status = 503
