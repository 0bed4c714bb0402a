"""Every example a reader may copy: the Python blocks of README and docs, the shell commands, and examples/.

A block's lines that begin with `# > ` are what it prints. Blocks of one page share their names, as a reader who types
them in one session would have it; those of the README stand alone.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import logitwire as lw
from logitwire import _core

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """The fenced blocks of a page in one language, each with its first line's number."""
    found = re.finditer(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [(page.read_text("utf-8").count("\n", 0, match.start(1)) + 1, match[1]) for match in found]


def shell_commands(*pages: Path) -> list[str]:
    joined = [block.replace("\\\n", " ") for page in pages for _, block in blocks(page, "sh")]
    return [line.strip() for block in joined for line in block.splitlines() if line.strip()]


def run_block(page: Path, line: int, source: str, names: dict[str, Any]) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        # The empty lines make a traceback name the page's own lines.
        exec(compile("\n" * (line - 1) + source, str(page), "exec"), names)  # noqa: S102
    if expected := re.findall(r"^# > ?(.*)$", source, re.MULTILINE):
        assert printed.getvalue().splitlines() == expected


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_blocks_run(page: Path, request: pytest.FixtureRequest) -> None:
    sources = blocks(page, "python")
    if any('load("smollm2")' in source for _, source in sources):
        request.getfixturevalue("smollm2_path")
    if any("starlette" in source for _, source in sources):
        pytest.importorskip("starlette")
    shared: dict[str, Any] = {"__name__": "__main__"}
    for line, source in sources:
        run_block(page, line, source, {"__name__": "__main__"} if page.parent == ROOT else shared)


def test_readme_has_two_commands_and_ci_runs_them() -> None:
    first_block = blocks(ROOT / "README.md", "sh")[0][1].splitlines()
    assert first_block == ["make demo", "make test"]
    if (ROOT / ".ci").is_dir():
        assert (ROOT / ".ci" / "run").read_text().endswith("\n.ci/stages demo test\n")


@pytest.mark.parametrize("command", [line for line in shell_commands(*PAGES) if line.startswith("logitwire ")])
def test_shell_commands_are_ones_the_program_takes(command: str) -> None:
    click = pytest.importorskip("click")
    pytest.importorskip("rich")
    from logitwire.cli.group import group

    name, *arguments = shlex.split(command)[1:]
    subcommand = group.commands[name]
    try:
        subcommand.make_context(name, arguments)
    except click.UsageError as error:
        pytest.fail(error.format_message())


def test_shell_blocks_hold_known_programs_only() -> None:
    assert {shlex.split(line)[0] for line in shell_commands(*PAGES)} <= {"make", "logitwire", "curl"}


def test_pages_link_to_files_that_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_page_of_limits_is_the_table_in_force() -> None:
    page = (ROOT / "docs" / "limits.md").read_text("utf-8")
    written = {
        name: int(value.replace(",", ""))
        for name, value in re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", page, re.MULTILINE)
    }
    assert written == lw.limits()


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_example_runs(example: Path, smollm2_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "LOGITWIRE_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env=environment,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    expected = re.findall(r"^# > ?(.*)$", example.read_text("utf-8"), re.MULTILINE)
    assert done.stdout.splitlines() == expected


def test_examples_of_the_stub_run() -> None:
    stub = ast.parse((ROOT / "python" / "logitwire" / "_core.pyi").read_text("utf-8"))
    places = [node for node in ast.walk(stub) if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    runner = doctest.DocTestRunner(verbose=False)
    for place in places:
        text = ast.get_docstring(place) or ""
        runner.run(doctest.DocTestParser().get_doctest(text, dict(vars(_core)), place.name, "_core.pyi", place.lineno))
    assert runner.tries > 0
    assert runner.failures == 0
