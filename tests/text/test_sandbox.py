import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvchat.text import sandbox_child
from kvchat.text.sandbox import MAX_TEMPLATE, Refused, Sandbox, SandboxFailed
from kvchat.text.sandbox_child import MAX_OUTPUT

MESSAGES = {"messages": [{"role": "user", "content": "hi"}]}
DATE = "2025-03-09"


@pytest.fixture
def fresh() -> Iterator[Sandbox]:
    """A sandbox of its own, with generous limits."""
    with Sandbox(first_seconds=20.0, next_seconds=20.0) as own:
        yield own


def render(sandbox: Sandbox, template: str) -> str:
    return sandbox.render(template, MESSAGES, DATE)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% for m in messages %}\n  {{ m.role }}\n{% endfor %}", "  user\n"),
        ("{{ messages[0] | tojson }}", '{"role": "user", "content": "hi"}'),
        (
            "{{ {'b': '<é>', 'a': 1} | tojson(indent=1, sort_keys=true) }}",
            '{\n "a": 1,\n "b": "<é>"\n}',
        ),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}!", "hi!"),
        ("{{ strftime_now('%d %b %Y') }} {{ date_string }}", "09 Mar 2025 09 Mar 2025"),
        ("{% set ns = namespace(n=1) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}", "2"),
        ("{{ missing }}|{{ messages[0].missing is defined }}", "|False"),
        ("{{ '\\ud800' }}", "\ud800"),
    ],
)
def test_a_template_renders(template: str, text: str, sandbox: Sandbox) -> None:
    assert render(sandbox, template) == text


def test_templates_render_as_transformers_renders_them(sandbox: Sandbox) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    template = (
        "{{- bos_token }}\n{%- for m in messages %}\n    {%- if loop.first %} [{% endif %}\n"
        "{{ m.role }}: {{ m.content | trim }}\n\t{% if loop.last %}\nend\n{% endif %}\n"
        "{%- endfor %}\n{{ messages | tojson(indent=2) }}\n"
    )
    messages = [{"role": "user", "content": " <a> é "}, {"role": "assistant", "content": "b"}]
    theirs, _ = render_jinja_template([messages], chat_template=template, bos_token="<s>")
    ours = sandbox.render(template, {"messages": messages, "bos_token": "<s>"}, DATE)
    assert ours == theirs[0]


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ (messages|attr('__class__')).__mro__ }}", "undefined|unsafe"),
        ("{{ '{0.__class__.__mro__}'.format(messages) }}", "unsafe"),
        ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "unsafe"),
        ("{{ raise_exception.__globals__.os.x }}", "unsafe"),
        ("{{ strftime_now.__globals__['sys'].x }}", "unsafe"),
        ("{% for i in range(1000000000) %}{% endfor %}", "Range too big"),
        ("{{ lipsum(n=100000)|length }}", "'lipsum' is undefined"),
        ("{% import 'os' as o %}", "no loader"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{% set _ = messages.append(1) %}", "unsafe"),
        ("{% set _ = messages[0].update(role='x') %}", "unsafe"),
        ("{{ messages[5].content.x }}", "no element 5"),
        ("{% set messages[0].role = 'x' %}", "end of statement block"),
        ("{% for c in messages.__iter__() %}{% endfor %}", "unsafe"),
        ("{{ self.__init__.__globals__ }}", "unsafe"),
        ("{{ namespace.__init__.__globals__ }}", "unsafe"),
        ("{{ joiner.__init__.__globals__['sys'] }}", "unsafe|undefined"),
        ("{{ dict.mro() }}", "unsafe"),
        ("{{ (messages|map(attribute='__class__')|list)[0].mro() }}", "unsafe|undefined"),
        ("{{ '{x.__class__.__mro__}'.format_map({'x': 1}) }}", "unsafe"),
        ("{{ raise_exception(7) }}", "7"),
        ("{{ 'a' + 1 }}", "concatenate"),
        ("{{ missing.x }}", "'missing' is undefined"),
        ("{{ raise_exception('System role is not supported') }}", "System role is not supported"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{% for %}", "end of statement"),
        ("{{ 'a' | unknown }}", "unknown"),
    ],
)
def test_a_template_that_breaks_a_rule_is_refused(
    template: str, reason: str, sandbox: Sandbox
) -> None:
    with pytest.raises(Refused, match=reason):
        render(sandbox, template)
    assert render(sandbox, "still {{ 1 + 1 }}") == "still 2"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited elsewhere by time only")
@pytest.mark.parametrize(
    "template",
    [
        "{{ ('a'*10000000000)|length }}",
        "{{ '%999999999d'|format(1)|length }}",
        "{{ 'a'.center(3000000000)|length }}",
        "{{ '{:>3000000000}'.format(1)|length }}",
        "{% set n = namespace(s='a') %}{% for i in range(64) %}{% set n.s = n.s*2 %}{% endfor %}",
        "{% set n = namespace(s=[1]) %}{% for i in range(64) %}{% set n.s = n.s*2 %}{% endfor %}",
        "{{ 'a' | center(3000000000) | length }}",
        "{{ 'a'.ljust(3000000000) ~ 'a'.zfill(3000000000) }}",
        "{{ ('a' * 1000000).replace('a', 'b' * 1000000) | length }}",
        "{{ 'a' | indent(3000000000, true) | length }}",
    ],
)
def test_a_template_cannot_take_much_memory(template: str, sandbox: Sandbox) -> None:
    with pytest.raises(SandboxFailed, match="memory limit"):
        render(sandbox, template)
    assert render(sandbox, "still {{ 1 + 1 }}") == "still 2"


@pytest.mark.parametrize(
    "template",
    [
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
        "{{ " + "[" * 5000 + "]" * 5000 + " }}",
        "{{ " + "-" * 20000 + "1 }}",
        "{{ 1" + " ~ (1" * 3000 + ")" * 3000 + " }}",
        "{% macro f(n) %}{{ caller() }}{% call f(n) %}x{% endcall %}{% endmacro %}"
        "{% call f(1) %}x{% endcall %}",
    ],
)
def test_a_deep_template_is_an_error_and_no_crash(template: str, sandbox: Sandbox) -> None:
    with pytest.raises(SandboxFailed, match=r"nested too deep|signal|ended"):
        render(sandbox, template)
    assert render(sandbox, "still {{ 1 + 1 }}") == "still 2"


ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


def test_a_template_of_many_lines_is_rendered(sandbox: Sandbox) -> None:
    assert render(sandbox, "x\n" * 100_000) == "x\n" * 99_999 + "x"


def test_a_template_sees_nothing_of_the_process(sandbox: Sandbox) -> None:
    names = ("canary", "os", "sys", "open", "__builtins__", "json", "environment", "config")
    source = "".join(f"{{{{ {name} is defined }}}} " for name in names)
    assert render(sandbox, source) == "False " * len(names)


def test_a_template_without_end_is_killed(fresh: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvchat.text.sandbox.SECOND_CHANCE_SECONDS", 0.2)
    render(fresh, "x")
    fresh._first_seconds = 0.2
    with pytest.raises(SandboxFailed, match="time limit"):
        render(fresh, ENDLESS)
    fresh._first_seconds = 20.0
    assert render(fresh, "still {{ 1 + 1 }}") == "still 2"


def test_a_template_that_worked_before_gets_a_second_chance(fresh: Sandbox) -> None:
    assert render(fresh, "x") == "x"
    fresh._next_seconds = 0.0
    assert render(fresh, "x") == "x"


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs a process that can be stopped")
def test_a_template_that_never_got_the_processor_gets_a_second_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kvchat.text.sandbox.SECOND_CHANCE_SECONDS", 60.0)
    with Sandbox(first_seconds=20.0) as own:
        render(own, "x")
        own._first_seconds = 0.2
        assert own._process is not None
        os.kill(own._process.pid, signal.SIGSTOP)
        assert render(own, "{{ 1 + 1 }}") == "2"


@pytest.mark.slow
@pytest.mark.parametrize("template", ["{{ (9**(9**9))|string|length }}", ENDLESS * 3])
def test_the_published_limit_holds(template: str) -> None:
    with Sandbox() as own, pytest.raises(SandboxFailed, match="limit"):
        render(own, template)


def test_too_much_output_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxFailed, match="too much text"):
        render(sandbox, "{% for i in range(99999) %}{{ 'a' * 1024 }}{% endfor %}")
    assert (
        len(
            render(
                sandbox,
                f"{{% for i in range(1024) %}}{{{{ 'é' * {MAX_OUTPUT // 1024} }}}}{{% endfor %}}",
            )
        )
        == MAX_OUTPUT
    )


def test_a_template_that_is_too_long_is_refused_before_it_is_sent(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxFailed, match="256 KiB"):
        render(sandbox, " " * (MAX_TEMPLATE + 1))


def test_text_of_megabytes_passes_through(sandbox: Sandbox) -> None:
    text = "häschen\n" * 200_000
    variables = {"messages": [{"role": "user", "content": text}]}
    assert sandbox.render("{{ messages[0].content }}", variables, DATE) == text


def test_a_child_that_dies_is_replaced(fresh: Sandbox) -> None:
    render(fresh, "x")
    assert fresh._process is not None
    os.kill(fresh._process.pid, signal.SIGKILL)
    fresh._process.wait()
    assert render(fresh, "still {{ 1 + 1 }}") == "still 2"


def test_a_sandbox_that_cannot_start_says_so(
    fresh: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    fresh.start()
    with pytest.raises(SandboxFailed, match="cannot be started: No such file"):
        render(fresh, "x")


def test_closing_ends_a_request_that_is_running(
    fresh: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    render(fresh, "x")
    reasons: list[str] = []
    asked = threading.Event()
    exchange = fresh._exchange

    def tell(request: bytes, seconds: float, overrun: str) -> bytes:
        asked.set()
        return exchange(request, seconds, overrun)

    monkeypatch.setattr(fresh, "_exchange", tell)

    def ask() -> None:
        try:
            render(fresh, ENDLESS)
        except SandboxFailed as error:
            reasons.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    asked.wait()
    fresh.close()
    thread.join()
    assert reasons == ["kvchat is closing"]
    fresh.close()
    with pytest.raises(SandboxFailed, match="closing"):
        render(fresh, "x")


def test_many_threads_get_their_own_answers(fresh: Sandbox) -> None:
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answers[number] = render(fresh, f"{{{{ {number} * 2 }}}}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: str(number * 2) for number in range(12)}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_nothing_is_left_behind() -> None:
    gc.collect()
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        with Sandbox(first_seconds=20.0) as own:
            render(own, "x")
            with pytest.raises(SandboxFailed):
                render(own, "{{ ('a'*10000000000)|length }}")
            render(own, "x")
            process = own._process
        assert process is not None and process.returncode is not None
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert threading.active_count() == threads


def test_the_child_loads_nothing_of_kvchat_or_torch() -> None:
    code = (
        "import runpy, sys, io; "
        "module = runpy.run_path(sys.argv[1]); "
        "module['_make_environment'](); "
        "print([name for name in sys.modules if name.split('.')[0] in ('kvchat', 'torch')])"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-c", code, sandbox_child.__file__],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited elsewhere by time only")
@pytest.mark.parametrize("before", [None, 3 << 30, 1 << 30, 256 << 20])
def test_memory_is_limited_also_where_the_system_limits_it_before(before: int | None) -> None:
    code = (
        "import resource, runpy, sys\n"
        f"if {before} is not None:\n"
        f"    resource.setrlimit(resource.RLIMIT_AS, ({before}, {before}))\n"
        "child = runpy.run_path(sys.argv[1])\n"
        "for name in ('MEMORY_BYTES', 'TOKENIZER_MEMORY_BYTES'):\n"
        "    child['_limit_memory'](child[name])\n"
        "    print(resource.getrlimit(resource.RLIMIT_AS)[0])"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-c", code, sandbox_child.__file__],
        capture_output=True,
        text=True,
        check=True,
    )
    limit = 1 << 40 if before is None else before
    assert result.stdout.split() == [str(min(limit, 512 << 20)), str(min(limit, 2 << 30))]


def test_the_child_may_neither_open_files_nor_start_programs_nor_write() -> None:
    code = (
        "import io, runpy, sys, os\n"
        "runpy.run_path(sys.argv[1])['_serve'](io.BytesIO(), io.BytesIO())\n"
        "for attempt in (lambda: open('/etc/passwd'), lambda: os.system('true'),\n"
        "                lambda: os.listdir('/'), lambda: __import__('antigravity')):\n"
        "    try:\n"
        "        attempt()\n"
        "        sys.exit('it was allowed')\n"
        "    except PermissionError:\n"
        "        pass\n"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-c", code, sandbox_child.__file__], capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "")
