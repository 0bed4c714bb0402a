"""`logitwire sse`: what a stream of server-sent events says, when it says it, and where it breaks the rules."""

from __future__ import annotations

import http.client
import ipaddress
import json
import statistics
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import click

import logitwire as lw
from logitwire import pull
from logitwire.cli import CommandError, terminal

_READ_BYTES = 65_536
_SHOWN_BYTES = 300
"""Of the body of an HTTP error."""


@click.command()
@click.argument("source", default="-", metavar="[URL|FILE|-]")
@click.option(
    "--check", "only_check", is_flag=True, help="Report what breaks the rules instead; exit code 1 on an error."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each event, with its time.")
@click.option("--data", metavar="JSON", help="POST this to the URL, as JSON; @FILE reads it from a file.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Sent to the URL; may be repeated.")
@click.option("--last-event-id", metavar="ID", help="Ask the URL for what came after this event.")
@click.option("--timeout", "timeout_s", default=60.0, show_default=True, help="Seconds of silence that end it.")
def sse(
    source: str,
    only_check: bool,
    as_json: bool,
    data: str | None,
    headers: tuple[str, ...],
    last_event_id: str | None,
    timeout_s: float,
) -> None:
    """Show a stream of server-sent events: live from a URL, or a recording from a FILE or stdin.

    Each event has a line with the time since the one before (the first: since the request), its type and its id,
    and below it its data, JSON laid out. A recording read from a FILE has no times. At the end stderr says how many
    there were, the waits between them, and whether the stream ended well.

    --check says of each deviation from the standard where it is and what readers make of it. An error is something that
    does not arrive as it was sent; a warning is allowed and breaks clients that do not read by the rules.

    \b
    Examples:
      logitwire sse http://localhost:8000/events
      logitwire sse http://localhost:8000/v1/completions --data '{"prompt": "Hi", "stream": true}'
      logitwire sse https://example.com/stream --data @body.json --header "Authorization: Bearer KEY"
      curl -sN http://localhost:8000/events | logitwire sse
      logitwire sse recording.txt --check
      logitwire sse recording.txt --json | head -1
    """
    if only_check and as_json:
        raise click.UsageError("--check and --json are two outputs, and there is one")
    is_url = source.startswith(("http://", "https://"))
    if not is_url and (data or headers or last_event_id):
        raise click.UsageError("--data, --header and --last-event-id are for a URL")
    began = time.monotonic()
    if is_url:
        request = _request(source, data, headers, last_event_id)
        with _opened(request, timeout_s) as response:
            if only_check:
                _check(_chunks(response), _of_response(response))
            else:
                _show(_chunks(response), began, as_json=as_json, is_live=True)
    elif source == "-":
        _either(sys.stdin.buffer, began, only_check=only_check, as_json=as_json, is_live=True)
    else:
        with Path(source).open("rb") as file:
            _either(file, began, only_check=only_check, as_json=as_json, is_live=False)


def _either(file: IO[bytes], began: float, *, only_check: bool, as_json: bool, is_live: bool) -> None:
    if only_check:
        _check(_chunks(file), [])
    else:
        _show(_chunks(file), began, as_json=as_json, is_live=is_live)


def _request(url: str, data: str | None, headers: tuple[str, ...], last_event_id: str | None) -> urllib.request.Request:
    if pull.is_offline() and not _is_this_machine(url):
        raise lw.OfflineError("LOGITWIRE_OFFLINE forbids the network", hint="a URL of this machine is no network")
    sent = {"Accept": "text/event-stream", "Cache-Control": "no-cache", "User-Agent": f"logitwire/{lw.__version__}"}
    body = None
    if data is not None:
        body = Path(data[1:]).read_bytes() if data.startswith("@") else data.encode()
        try:
            json.loads(body)
        except ValueError as error:
            raise click.UsageError(f"--data is not JSON: {error}") from None
        sent["Content-Type"] = "application/json"
    if last_event_id is not None:
        sent["Last-Event-ID"] = last_event_id
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise click.UsageError(f"--header {header!r} is not NAME: VALUE")
        sent[name.strip()] = value.strip()
    try:
        return urllib.request.Request(url, body, sent)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def _opened(request: urllib.request.Request, timeout_s: float) -> Iterator[Any]:
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            if coding := response.headers.get("content-encoding"):
                raise CommandError(f"{request.full_url}: compressed ({coding}), though nobody asked for that")
            yield response
    except urllib.error.HTTPError as error:
        said = terminal.printable(error.read(_SHOWN_BYTES).decode("utf-8", "replace"))
        raise CommandError(f"{request.full_url}: HTTP {error.code} {error.reason}: {said}") from None
    except urllib.error.URLError as error:
        raise CommandError(f"{request.full_url}: {error.reason}") from None
    except http.client.HTTPException as error:
        said = (
            "the connection ended inside the answer" if isinstance(error, http.client.IncompleteRead) else repr(error)
        )
        raise CommandError(f"{request.full_url}: {said}") from None
    except ValueError as error:  # headers that http.client will not send
        if isinstance(error, lw.LogitwireError):
            raise
        raise click.UsageError(str(error)) from None


def _chunks(file: Any) -> Iterator[bytes]:
    while chunk := file.read1(_READ_BYTES):
        yield chunk


def _of_response(response: Any) -> list[str]:
    """What is wrong with the answer before its body."""
    kind = response.headers.get_content_type()
    found = []
    if response.status != 200:
        found.append(f"HTTP status {response.status}; clients take 200 alone")
    if kind != "text/event-stream":
        found.append(f"the content type is {kind}; clients take text/event-stream alone")
    charset = response.headers.get_content_charset("utf-8")
    if charset not in ("utf-8", "utf8"):
        found.append(f"the charset is {charset}; an event stream is UTF-8 whatever it is called")
    return found


def _check(chunks: Iterator[bytes], before: list[str]) -> None:
    n = {"error": len(before), "warning": 0}
    for what in before:
        click.echo(f"response: error: {what}")
    for deviation in lw.sse.check(chunks):
        n[deviation.severity] += 1
        click.echo(terminal.printable(str(deviation)))
    print(f"errors: {n['error']}, warnings: {n['warning']}", file=sys.stderr)
    if n["error"]:
        raise click.exceptions.Exit(1)


def _show(chunks: Iterator[bytes], began: float, *, as_json: bool, is_live: bool) -> None:
    events = lw.sse.events(chunks)
    waits: list[float] = []
    last = began
    try:
        for event in events:
            now = time.monotonic()
            waits.append(now - last)
            last = now
            wait = waits[-1] if is_live else None
            click.echo(_as_json(event, wait) if as_json else _laid_out(event, wait))
    finally:
        _sum_up(events, waits if is_live else [], len(waits))


def _as_json(event: lw.sse.Event, wait: float | None) -> str:
    timing = {} if wait is None else {"after_s": round(wait, 6)}
    return json.dumps({**timing, "type": event.type, "id": event.id, "data": event.data}, ensure_ascii=False)


def _laid_out(event: lw.sse.Event, wait: float | None) -> str:
    text = event.data
    if text.startswith(("{", "[")):
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            text = event.data
    head = [f"+{wait:.3f} s"] if wait is not None else []
    head += [event.type] + ([f"id {event.id}"] if event.id else [])
    # What a server sends is obeyed by no terminal. In a pipe it is as it is.
    shown = terminal.printable if sys.stdout.isatty() else str
    return "\n  ".join([click.style(shown("  ".join(head)), dim=True), *shown(text).split("\n")])


def _sum_up(events: lw.sse.Events[lw.sse.Event], waits: list[float], n: int) -> None:
    said = [f"{n} events"]
    if waits:
        said.append(f"the first after {waits[0]:.3f} s")
    if len(waits) > 1:
        said.append(f"then {statistics.median(waits[1:]) * 1e3:.1f} ms between them, {max(waits[1:]):.3f} s at most")
    if events.last_event_id:
        said.append(f"last id {events.last_event_id}")
    if events.retry_ms is not None:
        said.append(f"retry {events.retry_ms} ms")
    if events.parser.done:
        said.append("ended by [DONE]")
    print(terminal.printable("; ".join(said)), file=sys.stderr)
