"""The README: its commands, examples, links, options and slash commands are true."""

import re
from pathlib import Path

import pytest

from kvchat.cli_options import command_parser
from kvchat.tui.commands import Registry

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_first_two_commands_run_it_and_test_it() -> None:
    shells = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    install = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt"
    assert shells[0] == f"{install} . && .venv/bin/kvchat\n"
    assert shells[1] == f'{install} -e ".[dev]" && .venv/bin/pytest\n'
    assert README.index(shells[1]) < README.index("\n## ")


def test_continuous_integration_finds_the_command_that_tests() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    pattern = re.search(r"grep -m1 '(.*?)' README\.md", script)
    assert pattern is not None
    found = [line for line in README.splitlines() if re.search(pattern[1], line)]
    assert found[:1] == [
        'python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e ".[dev]"'
        " && .venv/bin/pytest"
    ]


def test_there_are_examples_of_the_runtime_and_of_the_cache_alone() -> None:
    assert len(EXAMPLES) == 2
    assert "ChatRuntime(" in EXAMPLES[0] and "PagedKVCache(" in EXAMPLES[1]


def test_the_example_of_the_runtime_runs_and_its_rewind_needs_no_prefill(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exec(compile(EXAMPLES[0], "README.md", "exec"), {})
    story, zero, answers = capsys.readouterr().out.partition("0\n")
    assert story.strip() and zero and answers.strip()


def test_the_example_of_the_cache_runs_and_shares_one_block(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, object] = {}
    exec(compile(EXAMPLES[1], "README.md", "exec"), names)
    layers, keys_and_values, kv_heads, head_size, tokens, bytes_of_float = 4, 2, 2, 64, 32, 4
    one_block = layers * keys_and_values * kv_heads * head_size * tokens * bytes_of_float
    assert capsys.readouterr().out == f"{one_block}\n"


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", README))
def test_every_path_it_links_to_is_there(target: str) -> None:
    assert (ROOT / target).exists()


def test_every_option_it_names_exists() -> None:
    text = README.split("## As a library")[0]
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert len(named) >= 8
    assert named <= set(command_parser()._option_string_actions)


def test_every_slash_command_it_names_exists() -> None:
    named = re.findall(r"`(/[a-z]+)(?: [^`]*)?`", README)
    assert len(named) >= 4
    for name in named:
        assert Registry().parse_slash(name)[0].slash == name[1:]
