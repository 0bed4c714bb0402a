"""The bytes of a request's body, to a type of `requests`. Knows no dialect."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from logitwire.errors import ParameterError

T = TypeVar("T")


async def read_body(request: Request, decoder: msgspec.json.Decoder[T], *, max_bytes: int) -> T:
    """Read and decode a JSON body.

    Raises HTTPException 415 unless it says it is JSON in UTF-8, 413 beyond `max_bytes` (from Content-Length, before
    anything is read, if there is one), and ParameterError where it is not the JSON the decoder wants.
    """
    _check_type(request)
    return _decode(await _read(request, max_bytes), decoder)


def _check_type(request: Request) -> None:
    # Nothing but JSON, said aloud: a browser may send any other type, or none, across origins without asking first.
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise HTTPException(415, "the body must be JSON in UTF-8, sent with 'Content-Type: application/json'")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "compressed bodies are not supported")


async def _read(request: Request, max_bytes: int) -> bytes:
    too_large = HTTPException(413, f"the body is larger than {max_bytes} bytes", headers={"connection": "close"})
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit():
        raise HTTPException(400, "Content-Length is not a number")
    # More than 19 digits are too many for any limit, and for int() without bound.
    if len(length) > 19 or int(length) > max_bytes:
        raise too_large
    chunks, received = [], 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        received += len(chunks[-1])
        if received > max_bytes:
            raise too_large
        if not message.get("more_body", False):
            return b"".join(chunks)


def _decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        # msgspec decodes only the strings it keeps, and counts bytes from the start of each.
        str(body, "utf-8")
        return decoder.decode(body)
    except UnicodeDecodeError as error:
        raise ParameterError(f"the body is not UTF-8: {error.reason} (byte {error.start})") from None
    except msgspec.ValidationError as error:
        message, field = _place(str(error))
        raise ParameterError(message, field=field) from None
    except msgspec.DecodeError as error:
        message = str(error)
        if "(byte " not in message:
            message = f"the JSON ends too early (byte {len(body)})"
        raise ParameterError(message) from None
    except RecursionError:
        raise ParameterError("the JSON is nested too deeply") from None


def _place(message: str) -> tuple[str, str | None]:
    """msgspec's message with the JSON path it names.

    >>> _place("Expected `int`, got `str` - at `$.n`")
    ('n: Expected `int`, got `str`', 'n')
    >>> _place("Object missing required field `role` - at `$.messages[0]`")
    ('messages[0].role is missing', 'messages[0].role')
    """
    message, _, path = message.partition(" - at `$")
    path = path.rstrip("`").removeprefix(".")
    missing = message.removeprefix("Object missing required field `")
    if missing != message:
        path = f"{path}.{missing.rstrip('`')}".removeprefix(".")
        return f"{path} is missing", path
    return (f"{path}: {message}", path) if path else (f"the body: {message}", None)
