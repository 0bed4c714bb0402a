"""ChatTemplate against Jinja's own sandbox, and templates that would harm a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import logitwire as lw

USER = [{"role": "user", "content": "hi"}]
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "naïve <|im_end|> {{ 7 * 7 }} 你好 😀\n"},
    {"role": "assistant", "content": ""},
    {"role": "user", "content": "  spaces  "},
]
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_2 = """{% if messages[0]['role'] == 'system' %}
{% set loop_messages = messages[1:] %}{% set system = messages[0]['content'] %}
{% else %}{% set loop_messages = messages %}{% set system = false %}{% endif %}
{% for message in loop_messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {% endif %}
    {% if loop.index0 == 0 and system %}
        {% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}
    {% else %}{% set content = message['content'] %}{% endif %}
    {% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}
{% endfor %}"""
FEATURES = """{%- macro show(m) -%}[{{ m.role|upper }}:{{ m['content']|trim }}]{%- endmacro -%}
{%- set ns = namespace(n=0, last=none) -%}
{%- for m in messages if m.role != 'system' -%}
    {%- set ns.n = ns.n + 1 -%}{%- set ns.last = m -%}
    {{- show(m) }}{{ loop.last|int }}{{ loop.first|int }}{{ loop.length }}
    {%- if ns.n > 2 %}{% break %}{% endif -%}
{%- else -%}none{%- endfor -%}
{{ ns.last.content.split(' ')|join('+') if ns.last is not none else 'x' }}
{{- messages|length }}{{ messages|map(attribute='role')|join(',') }}{{ (messages[-1].content is string)|int }}
{{- ('a' in {'a': 1})|int }}{{ [1, 2, 3][::-1]|list }}{{ ('x'.startswith('x'))|int }}{{ ' y '.strip() }}
{{- (tools is defined and tools is not none)|int }}{{ (missing is defined)|int }}
{{- 3 // 2 }}{{ 2 ** 3 }}{{ 7 % 4 }}{{ 'a' ~ 1 }}
{{- messages[0]['content'].replace('B', 'C').lower().upper() }}{{ {'k': 'v'}.items()|list|length }}"""
TEMPLATES = {"chatml": CHATML, "llama 2": LLAMA_2, "features": FEATURES, "text": "no template at all", "empty": ""}


def theirs(source: str, messages: list[dict[str, Any]], **variables: Any) -> str:
    """As transformers sets Jinja up."""
    jinja2 = pytest.importorskip("jinja2")
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = raise_exception
    rendered: str = environment.from_string(source).render(messages=messages, tools=None, **variables)
    return rendered


@pytest.mark.parametrize("add_generation_prompt", [True, False])
@pytest.mark.parametrize("name", TEMPLATES)
def test_renders_as_jinja_does(name: str, add_generation_prompt: bool) -> None:
    template = lw.ChatTemplate(TEMPLATES[name], bos_token="<s>", eos_token="</s>")
    for messages in (USER, TALK, TALK[:2], TALK[1:3]):
        want = theirs(
            TEMPLATES[name], messages, add_generation_prompt=add_generation_prompt, bos_token="<s>", eos_token="</s>"
        )
        assert template.render(messages, add_generation_prompt=add_generation_prompt) == want


def test_smollm2_s_own_template(smollm2: Any) -> None:
    source = smollm2.tokenizer.chat_template
    for messages in (USER, TALK, TALK[1:]):
        want = theirs(source, messages, add_generation_prompt=True, bos_token="", eos_token="")
        assert smollm2.chat_template.render(messages) == want
    assert "You are a helpful AI assistant named SmolLM" in smollm2.chat_template.render(USER)


def test_what_a_message_says_is_never_run() -> None:
    message = "{{ 1 + 1 }}{% for x in y %}{# comment #}<|im_start|>system"
    assert message in lw.ChatTemplate(CHATML).render([{"role": "user", "content": message}])


def test_messages_are_any_mapping_of_json_types() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "image", "n": [1, 2.5, True, None]}]
    template = lw.ChatTemplate("{% for p in messages[0].content %}{{ p.type }}{{ p.n|tojson if p.n }};{% endfor %}")
    assert template.render(({"role": "user", "content": content},)) == "text;image[1, 2.5, true, null];"


def test_tools_and_variables() -> None:
    template = lw.ChatTemplate(
        "{{ tools[0].name if tools else 'none' }} {{ mode|default('off') }} {{ messages|length }}"
    )
    assert template.render(USER) == "none off 1"
    assert template.render(USER, tools=[{"name": "f"}], variables={"mode": "on"}) == "f on 1"
    assert template.render([]) == "none off 0"


def test_a_variable_must_not_replace_what_the_caller_passed() -> None:
    template = lw.ChatTemplate("{{ messages|length }}{{ add_generation_prompt }}")
    try:
        out = template.render(USER, variables={"messages": [], "add_generation_prompt": False})
    except (lw.ParameterError, lw.TemplateError):
        return
    assert out == "1True"


@pytest.mark.parametrize(
    "source",
    ["{% if %}", "{{ ", "{% for x in %}{% endfor %}", "{% endfor %}", "a\nb\n{{ 1 + }}", "{% nope %}", "{{ 'a }}"],
)
def test_a_template_that_does_not_parse_names_its_line(source: str) -> None:
    with pytest.raises(lw.TemplateError) as caught:
        lw.ChatTemplate(source)
    assert caught.value.line == source.count("\n") + 1
    assert caught.value.http_status == 400


def test_the_template_s_own_exception() -> None:
    template = lw.ChatTemplate("line one\n{{ raise_exception('roles must alternate') }}")
    with pytest.raises(lw.TemplateError, match="roles must alternate") as caught:
        template.render(USER)
    assert caught.value.line == 2


@pytest.mark.parametrize(
    "source",
    [
        "{{ nope() }}",
        "{{ messages.nope() }}",
        "{{ 1 / 0 }}",
        "{{ messages|nope }}",
        "{{ messages[0].content + 1 }}",
        "{{ 'a'|int + x.y.z }}",
    ],
)
def test_a_template_that_fails(source: str) -> None:
    with pytest.raises(lw.TemplateError):
        lw.ChatTemplate(source).render(USER)


ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__.__base__ }}",
    "{{ messages[0].items.__globals__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__ }}",
    "{{ messages|attr('__class__') }}",
    "{{ ('%s'|format).__globals__ }}",
    "{{ '{0.__class__}'.format(messages) }}",
    "{{ raise_exception.__globals__ }}",
    "{{ namespace.__init__ }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% extends '/etc/passwd' %}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_there_is_no_way_into_python(source: str) -> None:
    try:
        out = lw.ChatTemplate(source).render(USER)
    except lw.TemplateError:
        return
    assert not any(sign in out for sign in ("class", "root", "uid=", "<function", "<module", "object at"))


def repeated(start: str, body: str, *, times: int = 9) -> str:
    """A template that runs `body` on ns.s, and then says how long it is."""
    loop = f"{{% for i in range({times}) %}}{{% set ns.s = {body} %}}{{% endfor %}}"
    return f"{{% set ns = namespace(s={start}) %}}{loop}{{{{ ns.s|length }}}}"


LOOP = "{% for a in range(10000) %}"
BOMBS = {
    "loops in loops": LOOP * 3 + "{% endfor %}" * 3,
    "long output": LOOP + "{{ 'x' * 1000 }}{% endfor %}",
    "a string doubled": repeated("'x'", "ns.s ~ ns.s", times=60),
    "a string multiplied": "{{ 'x' * 10000000000 }}",
    "a list multiplied": "{{ ([1] * 10000000000)|length }}",
    "a list doubled": repeated("[1]", "ns.s + ns.s", times=60),
    "a huge range": "{{ range(100000000000)|list|length }}",
    "recursion": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "two that call each other": "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a loop that recurses": "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "replace that grows": repeated("'a' * 1000", "ns.s|replace('a', 'a' * 1000)"),
    "join that grows": repeated("'a' * 1000", "(['b'] * 1000)|join(ns.s)"),
    "indent that grows": repeated("'a\\n' * 1000", "ns.s|indent(100000)"),
    "center": "{{ 'x'.center(10000000000) }}{{ 'x'.ljust(10000000000) }}{{ '%10000000000d' % 1 }}",
    "a power": "{{ 10 ** 1000000000 }}",
    "format": "{{ '%1000000000d' | format(1) }}",
    "quadratic": "{% for a in messages[0].content %}{{ messages[0].content|upper|lower|length }}{% endfor %}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_template_cannot_take_a_server_down(name: str) -> None:
    """In its own process: what hangs in the core cannot be interrupted from Python."""
    code = f"""
import logitwire as lw
try:
    lw.ChatTemplate({BOMBS[name]!r}).render([{{"role": "user", "content": "x" * 200_000}}])
except (lw.LimitError, lw.TemplateError):
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr[-500:]


DEEP = {
    "parentheses": ("{{ ", "(", "1", ")", " }}"),
    "lists": ("{{ ", "[", "1", "]", " }}"),
    "maps": ("{{ ", "{'a':", "1", "}", " }}"),
    "minus": ("{{ ", "-", "1", "", " }}"),
    "not": ("{{ ", "not ", "1", "", " }}"),
    "blocks": ("", "{% if 1 %}", "1", "{% endif %}", ""),
    "loops": ("", "{% for x in [1] %}", "1", "{% endfor %}", ""),
    "elif": ("{% if 0 %}", "{% elif 0 %}", "", "", "{% endif %}"),
    "filters": ("{{ 1", "|string", "", "", " }}"),
    "attributes": ("{{ messages", ".a", "", "", " }}"),
    "indexes": ("{{ messages", "[0]", "", "", " }}"),
    "calls": ("{{ messages", "()", "", "", " }}"),
    "plus": ("{{ 1", "+1", "", "", " }}"),
    "tildes": ("{{ 1", "~1", "", "", " }}"),
    "powers": ("{{ 1", "**1", "", "", " }}"),
    "and": ("{{ 1", " and 1", "", "", " }}"),
    "conditionals": ("{{ 1", " if 1 else 1", "", "", " }}"),
    "tests": ("{{ 1", " is defined", "", "", " }}"),
    "comparisons": ("{{ 1", " < 2", "", "", " }}"),
}


@pytest.mark.parametrize("depth", [1_000, 40_000])
@pytest.mark.parametrize("shape", DEEP)
def test_a_deep_template_is_an_error_or_an_answer(shape: str, depth: int) -> None:
    """Nested until the stack of anything recursive would end; in its own process, which that would end too."""
    start, before, inside, after, end = DEEP[shape]
    code = f"""
import logitwire as lw
try:
    lw.ChatTemplate({start!r} + {before!r} * {depth} + {inside!r} + {after!r} * {depth} + {end!r}).render([])
except (lw.TemplateError, lw.LimitError):
    pass
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr[-500:]


def test_deep_messages_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises((lw.TemplateError, lw.LimitError, RecursionError)):
        lw.ChatTemplate("{{ messages|tojson }}").render([{"role": "user", "content": deep}])


@pytest.mark.parametrize(
    "content", [object(), {1, 2}, b"bytes", float("nan"), float("inf"), lambda: None, 1j, "\ud800"], ids=repr
)
def test_messages_that_are_not_json(content: object) -> None:
    with pytest.raises((lw.TemplateError, TypeError)):
        lw.ChatTemplate(CHATML).render([{"role": "user", "content": content}])


def test_an_object_stays_outside() -> None:
    class Touchy(dict):  # type: ignore[type-arg]
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"a template reached {name}")

    message = Touchy(role="user", content="x")
    assert lw.ChatTemplate("{{ messages[0].nope is defined }}{{ messages[0].content }}").render([message]) in (
        "Falsex",
        "falsex",
    )


@pytest.mark.parametrize("messages", [None, 5, "text", [1], ["a"], [None], {"role": "user"}])
def test_messages_of_another_shape(messages: object) -> None:
    with pytest.raises((TypeError, lw.TemplateError, lw.ParameterError)):
        lw.ChatTemplate(CHATML).render(messages)


def test_a_source_over_the_limit() -> None:
    with pytest.raises(lw.LimitError):
        lw.ChatTemplate("x" * (lw.limits()["template_source_bytes"] + 1))


def test_fuel_is_deterministic_and_enough_for_a_long_talk() -> None:
    talk = [{"role": ("user", "assistant")[i % 2], "content": "word " * 200} for i in range(400)]
    template = lw.ChatTemplate(CHATML)
    assert len({template.render(talk) for _ in range(3)}) == 1
    assert template.render(talk) == theirs(CHATML, talk, add_generation_prompt=True)


def test_a_template_is_shared_between_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    template = lw.ChatTemplate(CHATML)
    want = template.render(TALK)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: template.render(TALK), range(40))) == {want}


def test_nothing_is_read_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(lw.TemplateError):
        lw.ChatTemplate("{% include 'secret.txt' %}").render(USER)
