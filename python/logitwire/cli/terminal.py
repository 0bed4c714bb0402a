"""Where words go: what was asked for to stdout, as it is when piped; everything about it to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

# A model may write anything, escape sequences that rewrite the screen or the clipboard included. C0 but \t and \n, DEL
# and C1 are shown as their pictures or as U+FFFD.
_SHOWN = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}
_SHOWN |= {0x7F: 0x2421, **dict.fromkeys(range(0x80, 0xA0), 0xFFFD)}


def console(*, stderr: bool = True) -> Console:
    """A rich console that is a terminal exactly if the stream is."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, force_terminal=stream.isatty(), highlight=False, markup=False, soft_wrap=True)


def printable(text: str) -> str:
    """A text without what a terminal would obey."""
    return text.translate(_SHOWN)


def write(text: str) -> None:
    """The model's own words, at once."""
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def note(text: str) -> None:
    """A word on what goes on, for eyes only: nothing where stderr is no terminal."""
    if sys.stderr.isatty():
        console().print(text, style="dim")


def status(text: str) -> AbstractContextManager[object]:
    """A spinner while something takes its time; nothing where stderr is no terminal."""
    return console().status(text, spinner_style="dim") if sys.stderr.isatty() else nullcontext()


@contextmanager
def download_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar that the yielded function moves."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(), transient=True, disable=not sys.stderr.isatty()) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
