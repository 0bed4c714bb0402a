"""The command line: in this process with a scripted model, and as a process in pipes and terminals."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from reference.scripted_model import ANSWER, ScriptedModel

import logitwire as lw
from logitwire import doctor, pull
from logitwire.cli import main
from logitwire.cli.chat import Conversation
from logitwire.errors import ParameterError

pytest.importorskip("click", reason="the cli extra is not installed")
pytest.importorskip("rich", reason="the cli extra is not installed")

SCRIPTED = Path(__file__).parent / "reference" / "scripted_model.py"
posix = pytest.mark.skipif(os.name != "posix", reason="signals and terminals as POSIX has them")


@dataclass
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGITWIRE_DEBUG", "LOGITWIRE_OFFLINE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ScriptedModel:
    scripted = ScriptedModel()
    monkeypatch.setattr(lw.models, "load", lambda name, **options: scripted)
    monkeypatch.setattr(pull, "cached", lambda name: Path("here"))
    return scripted


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*arguments: str, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


def one_error(result: Result, code: int, said: str, hint: str = "") -> None:
    """One line of error, at most one of hint, nothing on stdout."""
    assert result.code == code
    assert result.out == ""
    lines = result.err.splitlines()
    assert re.match(f"logitwire: error: .*{said}", lines[0]), result.err
    assert [line for line in lines[1:] if not line.startswith("hint: ")] == []
    assert re.search(hint, "".join(lines[1:])), result.err


# -- generate ---------------------------------------------------------------------------------------------------------


def test_a_pipe_gets_the_text_and_one_line_end(run: Run, model: ScriptedModel) -> None:
    assert run("generate", "Say it.") == Result(0, ANSWER + "\n", "")
    assert model.seen == [f"<|user|>Say it.<|end|><|assistant|>{ANSWER}"]


def test_raw_feeds_the_prompt_as_it_is(run: Run, model: ScriptedModel) -> None:
    assert run("generate", "<|user|>=", "--raw").out == ANSWER + "\n"
    assert model.seen == [f"<|user|>={ANSWER}"]
    assert model.caches[0].ids[0] == ord("<")  # its text, not the token


def test_a_system_message(run: Run, model: ScriptedModel) -> None:
    run("generate", "Say it.", "--system", "Be brief.")
    assert model.seen[0].startswith("<|system|>Be brief.<|end|><|user|>Say it.<|end|><|assistant|>")


@pytest.mark.parametrize(("stdin", "prompt"), [(b"a=", "a="), (b"a=\n", "a="), (b"a=\r\n", "a="), (b"a=\n\n", "a=\n")])
def test_a_prompt_from_stdin_loses_its_last_line_end(run: Run, model: ScriptedModel, stdin: bytes, prompt: str) -> None:
    assert run("generate", "-", "--raw", stdin=stdin).code == 0
    assert model.seen == [prompt + ANSWER[len(prompt) - 2 :]]


def test_max_tokens_stop_and_verbose(run: Run, model: ScriptedModel) -> None:
    assert run("generate", "x", "--max-tokens", "4").out == "Hell\n"
    assert run("generate", "x", "--stop", " w", "--stop", "zzz").out == "Hello 🙂\n"
    result = run("generate", "x", "--verbose", "--seed", "7")
    assert result.out == ANSWER + "\n"
    assert re.fullmatch(
        r"\d+ prompt tokens in [\d.]+ s; \d+ tokens, [\d.]+ tokens/s; ended by stop; seed 7\n", result.err
    )
    assert "ended by length" in run("generate", "x", "--verbose", "--max-tokens", "1").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x", "--max-tokens", "0"], r"'--max-tokens': 0 is not in the range x>=1"),
        (["x", "--max-tokens", "-3"], r"'--max-tokens': -3 is not in the range x>=1"),
        (["x", "--temperature", "-1"], r"'--temperature'"),
        (["x", "--top-p", "0"], r"'--top-p'.*0<x<=1"),
        (["x", "--top-k", "-1"], r"'--top-k'"),
        (["x", "--seed", str(2**64)], r"'--seed'"),
        (["x", "--stop", "y", "--stop", ""], r"'--stop': the text is empty"),
        ([""], "PROMPT is empty"),
        (["-"], "PROMPT is empty"),
        ([], "Missing argument 'PROMPT'"),
        (["x", "--raw", "--system", "y"], "--system needs the chat template"),
        (["x\udcff"], "not UTF-8"),
        (["x", "--colour"], "--colour"),
    ],
)
def test_wrong_usage_is_two(run: Run, model: ScriptedModel, arguments: list[str], said: str) -> None:
    one_error(run("generate", *arguments), 2, said, "logitwire generate --help")
    assert model.caches == []


def test_what_the_library_refuses_is_one(run: Run, model: ScriptedModel) -> None:
    one_error(run("generate", "x", "--temperature", "nan"), 1, "temperature")
    one_error(run("generate", "-", stdin=b"ab\xff"), 1, "not UTF-8: byte 0xff at 2")
    model.context_length = 8
    one_error(run("generate", "x" * 20), 1, "")
    model.chat_template = None
    one_error(run("generate", "x"), 1, "scripted has no chat template", "--raw")


def test_an_unknown_model(run: Run, tmp_path: Path) -> None:
    one_error(run("generate", "x", "--model", "smollm"), 1, "'smollm'", "smollm2")
    one_error(run("generate", "x", "--model", str(tmp_path / "no.gguf")), 1, "no.gguf")
    (tmp_path / "bad.gguf").write_bytes(b"GGUF\3\0\0\0")
    one_error(run("generate", "x", "--model", str(tmp_path / "bad.gguf")), 1, "")
    one_error(run("tokenize", "x", "--model", str(tmp_path / "bad.gguf")), 1, "")
    (tmp_path / "empty.gguf").touch()
    one_error(run("generate", "x", "--model", str(tmp_path / "empty.gguf")), 1, "empty")
    one_error(run("tokenize", "x", "--model", str(tmp_path / "empty.gguf")), 1, "")
    one_error(run("tokenize", "x", "--model", str(tmp_path / "no.gguf")), 1, "no.gguf")
    one_error(run("tokenize", "x", "--model", str(tmp_path / "no.json")), 1, "no.json")
    (tmp_path / "notes").write_text("no model at all, but long enough to hold a header" * 9)
    for command in ("generate", "tokenize"):
        one_error(run(command, "x", "--model", str(tmp_path / "notes")), 1, "notes: ")


def test_offline_without_the_model_says_what_to_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGITWIRE_CACHE", str(tmp_path))
    for command in (["generate", "x"], ["chat"], ["serve", "--port", "0"], ["tokenize", "x"], ["pull"]):
        one_error(run(*command, "--offline"), 1, "not in the cache", "logitwire pull smollm2")
    monkeypatch.setenv("LOGITWIRE_OFFLINE", "1")
    one_error(run("generate", "x"), 1, "not in the cache", "logitwire pull smollm2")


def test_pulling_says_so_once(run: Run, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "cached", lambda name: None)
    monkeypatch.setattr(pull, "fetch", lambda name, **options: Path("there"))
    result = run("generate", "x")
    assert result.out == ANSWER + "\n"
    assert re.fullmatch(r"logitwire: pulling smollm2, 93 MB, once, into .*\n", result.err)


def test_debug_shows_the_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGITWIRE_DEBUG", "1")
    with pytest.raises(FileNotFoundError):
        run("generate", "x", "--model", "no.gguf")


@pytest.mark.parametrize("command", ["generate", "chat", "serve", "tokenize", "grammar", "sse", "pull", "doctor"])
def test_help_teaches_by_example(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert (result.code, result.err) == (0, "")
    assert f"  logitwire {command}" in result.out.partition("Examples:")[2]
    assert max(map(len, result.out.splitlines())) <= 100
    assert command in run("--help").out


def test_alone_it_shows_its_help_as_it_is(run: Run) -> None:
    shown = run("--help").out
    alone = run()
    assert alone.out + alone.err == shown  # where to and the exit code are as click's version has it
    assert alone.code == (2 if alone.err else 0)
    assert len(shown.splitlines()) > 10


def test_version(run: Run) -> None:
    assert run("--version") == Result(0, f"logitwire {lw.__version__}\n", "")


# -- chat -------------------------------------------------------------------------------------------------------------


def test_chat_in_a_pipe_remembers(run: Run, model: ScriptedModel) -> None:
    result = run("chat", stdin=b"one\n\ntwo\n")
    assert result == Result(0, f"{ANSWER}\n{ANSWER}\n", "")
    once = f"<|user|>one<|end|><|assistant|>{ANSWER}"
    assert model.seen == [once, f"{once}<|end|><|user|>two<|end|><|assistant|>{ANSWER}"]


def test_chat_commands(run: Run, model: ScriptedModel) -> None:
    result = run("chat", "--system", "S", stdin=b"one\n/reset\n/etc/hosts\n/help\n/nope\n/exit\nnever\n")
    assert result.code == 0
    assert [line for line in result.err.splitlines() if line.startswith("/reset")]
    assert "there is no /nope" in result.err
    assert len(model.seen) == 2
    assert model.seen[1] == f"<|system|>S<|end|><|user|>/etc/hosts<|end|><|assistant|>{ANSWER}"


def test_chat_forgets_the_oldest_when_the_context_is_full() -> None:
    model = ScriptedModel(context_length=60)
    conversation = Conversation(model, "S")  # 3 tokens, and a turn is 2 more than its text; then <|assistant|>
    for text, n_forgotten in (("a" * 10, 0), ("b" * 10, 0), ("c" * 15, 2), ("d" * 40, 4)):
        ids, forgotten = conversation.ask(text, max_tokens=10)
        assert forgotten == n_forgotten
        assert len(ids) <= 60
        assert model.tokenizer.decode(ids, skip_special_tokens=False).startswith("<|system|>S<|end|><|user|>")
        conversation.turns.append({"role": "assistant", "content": "A" * 5})
    before = list(conversation.turns)
    with pytest.raises(ParameterError, match="holds 60"):
        conversation.ask("e" * 60, max_tokens=10)
    assert conversation.turns == before


def test_chat_in_a_pipe_ends_with_an_error(run: Run, model: ScriptedModel) -> None:
    model.context_length = 20
    one_error(run("chat", stdin=b"x" * 40 + b"\nnext\n"), 1, "holds 20", "in parts")
    assert model.seen == []


# -- tokenize ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def tokenizer(monkeypatch: pytest.MonkeyPatch, model: ScriptedModel) -> None:
    monkeypatch.setattr("logitwire.cli.options.load_tokenizer", lambda name, **options: model.tokenizer)


def test_tokenize(run: Run, tokenizer: None) -> None:
    assert run("tokenize", "h\té").out == '104\t68\t"h"\n9\t09\t"\\t"\n195\tc3\t\n169\ta9\t\n'
    assert run("tokenize", "-", "--ids", stdin="hé\n".encode()).out == "104 195 169\n"
    assert json.loads(run("tokenize", "<|end|>é", "--json", "--allow-special").out) == [
        {"id": 259, "bytes": "3c7c656e647c3e", "text": "<|end|>", "special": True},
        {"id": 195, "bytes": "c3", "text": None, "special": False},
        {"id": 169, "bytes": "a9", "text": None, "special": False},
    ]
    assert run("tokenize", "<|", "--ids").out == "60 124\n"
    assert run("tokenize", "", "--ids") == Result(0, "\n", "")
    assert run("tokenize", "hé", "--offsets").out == '104\t68\t"h"\t0:1\n195\tc3\t\t1:3\n169\ta9\t\t1:3\n'
    assert json.loads(run("tokenize", "<|end|>", "--json", "--allow-special", "--offsets").out) == [
        {"id": 259, "bytes": "3c7c656e647c3e", "text": "<|end|>", "special": True, "start": 0, "end": 7}
    ]


def test_tokenize_has_one_shape(run: Run, tokenizer: None) -> None:
    one_error(run("tokenize", "x", "--ids", "--offsets"), 2, "--offsets")
    one_error(run("tokenize", "x", "--ids", "--json"), 2, "--ids and --json", "logitwire tokenize --help")


# -- grammar ----------------------------------------------------------------------------------------------------------


PERSON = '{"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}, "additionalProperties": false}'


def test_grammar_check_allows(run: Run, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(PERSON, "utf-8")
    (tmp_path / "a.json").write_text('{\n  "age": 7\n}\n', "utf-8")
    by_file = run("grammar", "check", str(tmp_path / "a.json"), "--schema", str(tmp_path / "schema.json"))
    assert by_file == Result(0, "14 bytes, allowed\n", "")
    assert run("grammar", "check", "--schema", PERSON, stdin=b'{"age":7}').code == 0
    assert run("grammar", "check", "--json", "object", stdin=b"{}\n").code == 0
    assert run("grammar", "check", "--json", "any", "-", stdin='[1, 2, "é"]'.encode()).code == 0
    assert run("grammar", "check", "--regex", "a{3}", stdin=b"aaa\n").code == 0
    assert run("grammar", "check", "--choice", "yes", "--choice", "no", stdin=b"no").code == 0


def test_grammar_check_puts_a_caret_under_the_first_wrong_byte(run: Run) -> None:
    result = run("grammar", "check", "--schema", PERSON, stdin=b'{\n "age": x1\n}')
    assert (result.code, result.err) == (1, "")
    where, line, caret, expected = result.out.splitlines()
    assert where == "stdin:2:9: 'x' is not allowed (byte 10)"
    assert line.index("x1") == caret.index("^")
    assert expected.startswith("expected: ")
    assert "'0' to '9'" in expected or ("'0'" in expected and "'1' to '9'" in expected)
    early = run("grammar", "check", "--choice", "yes", "--choice", "yet", stdin=b"ye").out.splitlines()
    assert early == ["stdin:1:3: the text ends too early (byte 2)", "  ye", "    ^", "expected: 's' to 't'"]
    wide = run("grammar", "check", "--regex", "漢*", stdin="漢字".encode()).out.splitlines()
    assert wide[1:3] == ["  漢字", "    ^"]
    long = run("grammar", "check", "--regex", "a*", stdin=b"a" * 500 + b"b" * 500).out.splitlines()
    assert long[0].startswith("stdin:1:501: 'b'")
    assert len(long[1]) < 80
    assert long[1][long[2].index("^")] == "b"


def test_grammar_wants_one_grammar(run: Run) -> None:
    one_error(run("grammar", "check"), 2, "--schema, --regex, --json and --choice", "grammar check --help")
    one_error(run("grammar", "check", "--regex", "a", "--json", "any"), 2, "one of")
    one_error(run("grammar", "check", "--regex", "(a"), 1, "byte")
    one_error(run("grammar", "check", "--schema", '{"type": "no"}'), 1, "schema")
    one_error(run("grammar", "check", "no-such-file", "--regex", "a"), 1, "no-such-file")


def test_grammar_explain(run: Run) -> None:
    result = run("grammar", "explain", "--schema", PERSON)
    assert (result.code, result.err) == (0, "")
    assert '"age": number' in result.out
    assert "relaxed       #/properties/age minimum: exponents" in result.out
    assert "relaxed       nothing" in run("grammar", "explain", "--regex", "a").out
    relaxed = run("grammar", "explain", "--schema", '{"format": "no-such-format"}')
    assert "relaxed       # format" in relaxed.out
    assert "first tokens  2 of 257" in run("grammar", "explain", "--choice", "yes", "--choice", "no").out


@pytest.mark.parametrize("source", [["--schema", PERSON], ["--json"], ["--regex", "[a-z]{2,5}|é+"], ["--choice", "x"]])
def test_grammar_sample_is_what_check_allows(run: Run, source: list[str]) -> None:
    arguments = ["grammar", "sample", *source, "--count", "8", "--seed", "5"]
    result = run(*arguments)
    assert (result.code, result.err) == (0, "")
    assert run(*arguments).out == result.out
    assert len(result.out.splitlines()) == 8
    for line in result.out.splitlines():
        checked = run("grammar", "check", *source, stdin=line.encode())
        assert checked.code == 0, (line, checked.out)


def test_grammar_sample_says_what_it_cut(run: Run) -> None:
    result = run("grammar", "sample", "--regex", "a{100}", "--length", "5")
    assert (result.code, result.out) == (1, "a" * 50 + "\n")
    assert "1 of 1" in result.err


# -- pull and doctor --------------------------------------------------------------------------------------------------


def test_pull_prints_the_path(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOGITWIRE_CACHE", str(tmp_path))
    monkeypatch.setitem(
        pull.MODELS,
        "tiny",
        pull.Asset(
            package="tiny", version="1", wheel="tiny.whl", wheel_sha256="", wheel_size=1, member="tiny/tiny.gguf",
            file_sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", file_size=3, licence="",
        ),
    )  # fmt: skip
    path = pull.model_path("tiny")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"abc")
    assert run("pull", "tiny") == run("pull", "tiny", "--verify", "--offline") == Result(0, f"{path}\n", "")
    path.write_bytes(b"abd")
    one_error(run("pull", "tiny", "--verify"), 1, "sha256", "pull again")
    one_error(run("pull", "nope"), 1, "no model is named 'nope'", "smollm2")


def test_doctor_finds_every_station_well(run: Run) -> None:
    result = run("doctor", "--json")
    report = json.loads(result.out)
    assert set(report["tests"].values()) == {"ok"}
    assert result.code == 0
    assert report["logitwire"] == lw.__version__
    assert report["limits"]
    assert "smollm2" in report["cache"]
    assert report["packages"]["numpy"]
    shown = run("doctor")
    assert shown.code == 0
    assert all(name in shown.out for name in report["tests"])


def test_doctor_fails_when_a_station_does(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.TESTS, "stop", lambda: (1, 2))
    monkeypatch.setitem(doctor.TESTS, "mask", lambda: 1 // 0)
    result = run("doctor")
    assert result.code == 1
    assert "got 1, expected 2" in result.out
    assert "ZeroDivisionError" in result.out


# -- as a process -----------------------------------------------------------------------------------------------------


def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """With Ctrl-C as a shell has it: who runs the tests (`nohup`) may ignore it, and a process would inherit that."""
    environment = {**os.environ, **options.pop("env", {})}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen([sys.executable, *arguments], env=environment, **{**pipes, **options})
    finally:
        signal.signal(signal.SIGINT, ours)


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_cli_extra_it_says_what_to_install(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from logitwire.cli import main; sys.exit(main(['doctor']))"
    process = start("-c", program)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, b"")
    assert err.decode() == f"logitwire: this needs {missing}, so run: pip install 'logitwire[cli]'\n"


def test_without_the_server_extra_serve_says_what_to_install() -> None:
    program = "import sys; sys.modules['uvicorn'] = None; from logitwire.cli import main; sys.exit(main(['serve']))"
    process = start("-c", program)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, b"")
    assert err.decode() == "logitwire: this needs uvicorn, so run: pip install 'logitwire[server]'\n"


def test_text_comes_as_it_is_made_and_in_utf8() -> None:
    process = start(
        str(SCRIPTED), "generate", "x", env={"DELAY_S": "0.05", "PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": ""}
    )
    assert process.stdout is not None
    first = os.read(process.stdout.fileno(), 1000)
    assert 0 < len(first) < len(ANSWER.encode())
    assert first + process.stdout.read() == ANSWER.encode() + b"\n"
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 0


@posix
@pytest.mark.parametrize("command", ["generate", "tokenize"])
def test_a_closed_stdout_is_an_error_and_no_other_stream_is(command: str) -> None:
    def run(closed: str) -> tuple[int, bytes, bytes]:
        script = f'exec "$@" {closed}'
        process = start("-c", "import os, sys; os.execvp('sh', sys.argv[1:])", "sh", "-c", script, "sh", *scripted)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    scripted = [sys.executable, str(SCRIPTED), command, "x", "--model", "no.json"]
    code, out, err = run("1>&-")
    assert (code, out) == (1, b"")
    assert re.fullmatch(rb"logitwire: error: stdout is closed\nhint: .*\n", err)
    assert run("1>&- 2>&-") == (1, b"", b"")
    if command == "generate":
        assert run("0<&-") == run("2>&-") == (0, ANSWER.encode() + b"\n", b"")
    else:
        assert run("2>&-") == (1, b"", b"")


def test_ctrl_c_while_it_imports_is_quiet() -> None:
    program = """if True:
        import sys
        from logitwire.cli import main

        class Interrupted:
            def find_spec(name, path, target=None):
                if name == "logitwire.cli.group":
                    raise KeyboardInterrupt

        sys.meta_path.insert(0, Interrupted)
        sys.exit(main(["--version"]))
    """
    process = start("-c", program)
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 130


@posix
def test_a_reader_that_leaves_ends_it_quietly() -> None:
    process = start(str(SCRIPTED), "generate", "x", env={"ANSWER": "y" * 3000})
    assert process.stdout is not None
    assert process.stdout.read(1) == b"y"
    process.stdout.close()
    process.stdout = None
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 1


@posix
def test_ctrl_c_ends_a_generation_cleanly() -> None:
    process = start(str(SCRIPTED), "generate", "x", env={"ANSWER": "y" * 3000, "DELAY_S": "0.02"})
    assert process.stdout is not None
    assert process.stdout.read(1) == b"y"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(b"y*\n", out)
    assert err == b""


def test_the_embedded_model_from_a_prompt_to_its_answer(smollm2_path: Path) -> None:
    process = start(
        "-m", "logitwire", "generate", "The capital of France is", "--raw", "--temperature", "0", "--max-tokens", "8",
        "--offline",
    )  # fmt: skip
    out, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, b"")
    assert out.startswith(b" Paris")


def test_tokenize_with_the_embedded_model(run: Run, smollm2_path: Path) -> None:
    lines = run("tokenize", "Hello <|im_end|>", "--allow-special").out.splitlines()
    assert lines[0].endswith('"Hello"')
    assert lines[-1] == '2\t3c7c696d5f656e647c3e\t"<|im_end|>"'
    by_file = run("tokenize", "Hello <|im_end|>", "--allow-special", "--model", str(smollm2_path))
    assert by_file.out.splitlines() == lines


# -- in a terminal ----------------------------------------------------------------------------------------------------


class Terminal:
    """A process on a pseudo-terminal, and what it wrote so far."""

    # The terminal of its session, so that Ctrl-C is a signal.
    TAKE = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )

    def __init__(self, *arguments: str, **environment: str) -> None:
        import pty

        self.master, slave = pty.openpty()
        self.process = start(
            *("-c", self.TAKE, *arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={"TERM": "xterm", "COLUMNS": "80", **environment},
        )
        os.close(slave)
        self.screen = ""

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in self.screen:
            assert self.read(deadline - time.monotonic()), f"{text!r} never came: {self.screen!r}"

    def read(self, timeout_s: float) -> bool:
        if not select.select([self.master], [], [], max(timeout_s, 0))[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux's way to say that the other side is closed
                raise
            return False
        self.screen += data.decode().replace("\r\n", "\n")
        return bool(data)

    def type(self, text: str) -> None:
        self.screen = ""
        os.write(self.master, text.encode())

    def end(self, key: str = "") -> int:
        """Press the key until the process ends: readline may miss one that comes just before it waits for keys."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self.type(key)
            while self.read(10):
                pass
            try:
                return self.process.wait(10)
            except subprocess.TimeoutExpired:
                continue
        raise AssertionError(f"{key!r} did not end it: {self.screen!r}")


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_terminal(*arguments: str, **environment: str) -> Terminal:
        opened.append(Terminal(*arguments, **environment))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.process.kill()
        one.process.wait()
        os.close(one.master)


@posix
def test_chat_by_hand(terminal: Callable[..., Terminal]) -> None:
    chat = terminal(str(SCRIPTED), "chat")
    chat.wait_for("> ")
    assert "scripted. Ctrl-C ends an answer" in chat.screen
    chat.type("hi\r")
    chat.wait_for(f"{ANSWER}\n\n")
    chat.wait_for("> ")
    chat.type("/reset\r")
    chat.wait_for("forgotten")
    chat.wait_for("> ")
    assert chat.end("\x04") == 0


@posix
def test_ctrl_c_ends_an_answer_and_then_the_chat(terminal: Callable[..., Terminal]) -> None:
    chat = terminal(str(SCRIPTED), "chat", ANSWER="y" * 3000, DELAY_S="0.02")
    chat.wait_for("> ")
    chat.type("hi\r")
    chat.wait_for("yyy")
    chat.type("\x03")
    chat.wait_for("> ")
    assert chat.end("\x03") == 130
    assert "Traceback" not in chat.screen


@posix
def test_a_terminal_is_not_obeyed_by_what_a_model_writes(terminal: Callable[..., Terminal]) -> None:
    shown = terminal(str(SCRIPTED), "generate", "x", ANSWER="a\x1b[2Jb\x07c\x9dd\te")
    assert shown.end() == 0
    assert "a␛[2Jb␇c\ufffdd" in shown.screen


@posix
def test_tokenize_draws_a_table_in_a_terminal(terminal: Callable[..., Terminal], smollm2_path: Path) -> None:
    shown = terminal("-m", "logitwire", "tokenize", "Hello 𓀀", NO_COLOR="1")
    assert shown.end() == 0
    assert "Hello" in shown.screen
    assert "part of a character" in shown.screen
    assert re.search(r"\d+ tokens", shown.screen)


# -- serve ------------------------------------------------------------------------------------------------------------


def test_an_address_others_reach_needs_to_be_allowed(run: Run, model: ScriptedModel) -> None:
    pytest.importorskip("uvicorn")
    for host in ("0.0.0.0", "::"):
        one_error(run("serve", "--host", host, "--port", "0"), 1, "other machines", "--allow-public")
    one_error(run("serve", "--host", "256.0.0.1"), 1, "no address", "127.0.0.1")


def test_a_port_in_use(run: Run, model: ScriptedModel) -> None:
    pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one_error(run("serve", "--port", str(port)), 1, f"port {port} of 127.0.0.1 is in use", "--port")


@posix
def test_serve_from_its_first_line_to_ctrl_c() -> None:
    pytest.importorskip("uvicorn")
    process = start(str(SCRIPTED), "serve", "--port", "0")
    try:
        assert process.stdout is not None
        address = process.stdout.readline().decode().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        body = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}
        request = urllib.request.Request(
            f"{address}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            assert json.load(response)["choices"][0]["message"]["content"] == ANSWER
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (130, b"", b"")
    finally:
        process.kill()
        process.wait()


@posix
def test_ctrl_c_tells_the_clients_whose_answers_still_run() -> None:
    pytest.importorskip("uvicorn")
    program = (
        "import runpy, sys; from logitwire.cli import serve; serve.GRACE_S = 0.3;"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    slow = {"ANSWER": "y" * 3000, "DELAY_S": "0.02"}
    process = start("-c", program, str(SCRIPTED), "serve", "--port", "0", env=slow)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().decode().strip()
        body = {"model": "scripted", "prompt": "x=", "max_tokens": 3000, "stream": True}
        request = urllib.request.Request(
            f"{address}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.readline().startswith(b"data: {")
            process.send_signal(signal.SIGINT)
            *_, last = [line for line in response.read().splitlines() if line]
        assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "engine_closed"
        assert process.communicate(timeout=60) == (b"", b"")
        assert process.returncode == 130
    finally:
        process.kill()
        process.wait()
