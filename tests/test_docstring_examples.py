"""The examples in the docstrings of the public classes run as they stand."""

import asyncio
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import kvchat
from kvchat import ChatRuntime, Reply, SamplingParams, Session

OWNERS = (ChatRuntime, Session, Reply)


def examples_in(text: str | None, indent: int) -> list[str]:
    """Return the parts of a docstring that are indented by 4 more than the rest."""
    line = " " * (indent + 4) + r".*\n?"
    blocks = re.findall(f"(?:^{line})+", text or "", re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks]


def documented() -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the examples of each class and public method."""
    for owner in OWNERS:
        yield owner.__name__, examples_in(owner.__doc__, 4)
        for name, member in inspect.getmembers(owner, inspect.isfunction):
            if not name.startswith("_"):
                yield f"{owner.__name__}.{name}", examples_in(member.__doc__, 8)


EXAMPLES = {name: found for name, found in documented() if found}


def test_what_people_need_an_example_for_has_one() -> None:
    wanted = "edit regenerate continue_reply fork tokens tree resume_cost unload close"
    assert {f"Session.{name}" for name in wanted.split()} <= set(EXAMPLES)
    assert {"ChatRuntime", "ChatRuntime.broadcast", "ChatRuntime.ask", "Session", "Reply"} <= set(
        EXAMPLES
    )
    longest = max(code.count("\n") for found in EXAMPLES.values() for code in found)
    assert longest <= 12


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_runs(
    name: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quick(*_: object, **options: object) -> ChatRuntime:
        return ChatRuntime(
            tiny_model,
            data_dir=tmp_path,
            threads=1,
            pool_bytes=4 << 20,
            sampling={"max_tokens": 16},
        )

    monkeypatch.setattr(kvchat, "ChatRuntime", quick, raising=False)
    with quick() as runtime:
        chat, other = runtime.new_session(), runtime.new_session()
        chat.send("Hello!", SamplingParams(temperature=0, max_tokens=16)).wait(60)
        names = {"runtime": runtime, "chat": chat, "other": other, "SamplingParams": SamplingParams}
        if name == "ChatRuntime":
            runtime.close()
        for code in EXAMPLES[name]:
            exec(compile(code, name, "exec"), names)


def test_the_example_of_the_package_runs(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def quick() -> ChatRuntime:
        return ChatRuntime(tiny_model, save=False, threads=1, sampling={"max_tokens": 8})

    monkeypatch.setattr(kvchat, "ChatRuntime", quick, raising=False)
    code = "\n".join(examples_in(kvchat.__doc__, 0))
    assert "ChatRuntime" in code
    exec(compile(code, "kvchat", "exec"), {})
    capsys.readouterr()


def test_awaiting_a_reply_gives_its_message(tiny_model: Path) -> None:
    async def main() -> str:
        with ChatRuntime(tiny_model, save=False, threads=1) as runtime:
            reply = runtime.new_session().send("Hi", SamplingParams(temperature=0, max_tokens=4))
            return (await reply).text

    assert isinstance(asyncio.run(main()), str)
