"""`logitwire doctor`: the looks of `logitwire.doctor`."""

from __future__ import annotations

import json
from typing import Any

import click

from logitwire import doctor as health
from logitwire.cli import terminal


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
def doctor(as_json: bool) -> None:
    """Show what logitwire finds here, and test its stations.

    The exit code is 1 if a test fails. It is what to put into a bug report.

    \b
    Examples:
      logitwire doctor
      logitwire doctor --json | jq .limits
    """
    report = health.examine()
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _show(report)
    if not health.is_well(report):
        raise click.exceptions.Exit(1)


def _show(report: dict[str, Any]) -> None:
    console = terminal.console(stderr=False)
    for title, part in report.items():
        if not isinstance(part, dict):
            console.print(f"{title:12}{part}")
            continue
        console.print(f"\n{title}", style="bold")
        width = max(map(len, part), default=0) + 2
        for name, value in part.items():
            console.print(f"  {name:{width}}", end="")
            console.print(_worded(value), style=_style(title, value))


def _worded(value: object) -> str:
    if value is None:
        return "not here"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _style(title: str, value: object) -> str:
    if title == "tests":
        return "green" if value == "ok" else "bold red"
    return "dim" if value is None else ""
