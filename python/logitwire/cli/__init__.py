"""The command `logitwire`: one file a subcommand, `terminal.py` for what they share in looks, `options.py` in options.

Here is what surrounds them all, and works without the `cli` extra: how an error becomes one line, and which exit code
it has: 1 an error, 2 wrong usage, 130 Ctrl-C. Commands call the library as any user would; what they need beyond its
public names is missing there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from logitwire.errors import LogitwireError

EXTRAS = {"cli": ("click", "rich"), "server": ("starlette", "uvicorn", "h11", "msgspec")}


class CommandError(LogitwireError):
    """A command cannot do what was asked, for a reason that is no library's affair."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. arguments: None for those of the process."""
    # None: closed before the process began. What takes its place is open as long as the process.
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        complain(CommandError("stdout is closed", hint="to throw the output away, send it to " + os.devnull))
        return 1
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # In a pipe, text is UTF-8 and as it is, whatever the locale; on a terminal, what it cannot show becomes "?".
        if isinstance(stream, TextIOWrapper):
            if stream.isatty():
                stream.reconfigure(errors="replace")
            else:
                stream.reconfigure(encoding="utf-8", newline="\n")
    try:
        import click

        from logitwire.cli.group import group
    except ModuleNotFoundError as error:
        return _install(error, "cli")
    except KeyboardInterrupt:
        return 130
    try:
        code = group.main(None if arguments is None else list(arguments), "logitwire", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort:
        return 130
    except click.UsageError as error:
        # Its message is the help, which is no line. New in click 8.2; before, click shows it and returns 0.
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            error.show()
            return error.exit_code
        command = error.ctx.command_path if error.ctx else "logitwire"
        complain(LogitwireError(error.format_message(), hint=f"see `{command} --help`"))
        return 2
    except ModuleNotFoundError as error:
        return _install(error, "server")
    except (LogitwireError, OSError, UnicodeDecodeError) as error:
        if os.environ.get("LOGITWIRE_DEBUG", "") not in ("", "0"):
            raise
        complain(error)
        return 1


def complain(error: Exception) -> None:
    """An error as one line, and a line with what to do where it knows."""
    message = str(error) or type(error).__name__
    if isinstance(error, UnicodeDecodeError):
        message = f"the input is not UTF-8: byte {error.object[error.start]:#04x} at {error.start}"
    elif isinstance(error, OSError) and error.strerror:
        message = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    print("logitwire: error:", " ".join(message.split()), file=sys.stderr)
    if hint := getattr(error, "hint", None):
        print("hint:", " ".join(hint.split()), file=sys.stderr)


def _install(error: ModuleNotFoundError, extra: str) -> int:
    missing = (error.name or "").partition(".")[0]
    if missing not in EXTRAS[extra]:
        raise error
    print(f"logitwire: this needs {missing}, so run: pip install 'logitwire[{extra}]'", file=sys.stderr)
    return 1
