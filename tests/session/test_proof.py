"""Imported chats go on as if they had always been here, and a file's token ids cannot lie."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvchat.errors import InvalidArgument
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.session.message import node_of
from kvchat.session.prompt import path_token_ids
from kvchat.session.session import Session

MakeRuntime = Callable[..., ChatRuntime]
GREEDY = SamplingParams(temperature=0, max_tokens=8)


def path_ids(session: Session) -> list[list[int]]:
    return [node.token_ids for node in session._nodes()]


@pytest.fixture
def told(make_runtime: MakeRuntime) -> tuple[ChatRuntime, Session]:
    """A chat with a sibling reply, a rewound branch, a system prompt and a stop string."""
    runtime = make_runtime(save=False)
    sampling = SamplingParams(temperature=0.8, seed=3, max_tokens=8, stop=("e",))
    chat = runtime.new_session("told", system="Be kind.", sampling=sampling, window=None)
    chat.send("one").wait(60)
    chat.regenerate(GREEDY).wait(60)
    chat.send("two <s> [INST] </s>").wait(60)
    chat.rewind(turns=1)
    chat.send("three").wait(60)
    return runtime, chat


def test_an_imported_chat_is_the_same_and_goes_on_with_the_same_tokens(
    told: tuple[ChatRuntime, Session], make_runtime: MakeRuntime
) -> None:
    _, chat = told
    text = chat.export("json")
    other = make_runtime(save=False)
    again = other.import_session(text)
    assert again.export("json") == text
    assert (again.title, again.system, again.sampling) == (chat.title, chat.system, chat.sampling)
    assert [message.text for message in again.messages] == [m.text for m in chat.messages]
    assert path_ids(again) == path_ids(chat)
    assert all(path_ids(again))
    first, second = (each.send("four", GREEDY).wait(60) for each in (chat, again))
    assert first.text == second.text
    assert path_ids(again) == path_ids(chat)
    assert again.siblings(again.messages[1].id) == chat.siblings(chat.messages[1].id)


def test_a_chat_that_was_imported_without_a_model_is_proved_at_the_next_start(
    told: tuple[ChatRuntime, Session], make_runtime: MakeRuntime, tmp_path: Path
) -> None:
    from kvchat.sessions_command import main

    _, chat = told
    (tmp_path / "chat.json").write_text(chat.export("json"), encoding="utf-8")
    words = ["--data-dir", str(tmp_path / "data"), "import", str(tmp_path / "chat.json")]
    assert main(words) == 0
    runtime = make_runtime()
    (again,) = runtime.sessions()
    runtime.host._prompts.submit(lambda: None).result(60)
    assert path_ids(again) == path_ids(chat)
    assert again.export("json") == chat.export("json")


def test_the_title_can_be_another_and_a_chat_can_be_imported_twice(
    told: tuple[ChatRuntime, Session],
) -> None:
    runtime, chat = told
    again = runtime.import_session(chat.export("json"), title="copy")
    assert again.id != chat.id
    assert again.title == "copy"
    assert again.tag != chat.tag
    assert path_ids(again) == path_ids(chat)


def lie(change: Callable[[list[dict[str, Any]]], None], text: str) -> str:
    document = json.loads(text)
    change(document["messages"])
    return json.dumps(document)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m[0]["token_ids"].append(1),
        lambda m: m[0]["token_ids"].insert(3, 2),  # a control token that no text shows
        lambda m: m[0].update(text="another question"),
        lambda m: m[0].update(token_ids=[5, 6, 7]),
        lambda m: m[0].update(token_ids=[10**9]),
        lambda m: m[0].update(token_ids=[-5, 7]),
        lambda m: m[1]["token_ids"].insert(0, 1),
        lambda m: m[1]["token_ids"].insert(0, 2),
        lambda m: m[1].update(text="other words"),
        lambda m: m[1].update(token_ids=[10**9]),
    ],
)
def test_token_ids_that_are_not_those_of_the_text_are_never_used(
    make_runtime: MakeRuntime, change: Callable[[list[dict[str, Any]]], None]
) -> None:
    runtime = make_runtime(save=False)
    chat = runtime.new_session(system="Be kind.", sampling=GREEDY, window=None)
    chat.send("one").wait(60)
    text = lie(change, chat.export("json"))
    again = runtime.import_session(text)
    claimed = [each.get("token_ids", []) for each in json.loads(text)["messages"]]
    used = path_ids(again)
    was_changed = [
        each != json.loads(chat.export("json"))["messages"][place]
        for place, each in enumerate(json.loads(text)["messages"])
    ]
    used = path_ids(again)
    assert used[was_changed.index(True)] == []
    assert all(ids in ([], claimed[place]) for place, ids in enumerate(used))
    again.send("two", GREEDY).wait(60)
    path = again._nodes()[:3]
    bare = [node_of(replace(node.row(), token_ids=())) for node in path]
    prompts = runtime.host._prompts
    expected = prompts.submit(lambda: prompts.write(again._row, bare)).result(60)
    assert path_token_ids(path) == expected.token_ids


def test_markdown_is_imported_and_goes_on(runtime: ChatRuntime) -> None:
    chat = runtime.import_session("# Talk\n\n## User\n\nhello <s>\n\n## Assistant\n\nhi\n")
    assert (chat.title, [message.text for message in chat.messages]) == (
        "Talk", ["hello <s>", "hi"],
    )  # fmt: skip
    assert chat.send("more", GREEDY).wait(60).num_tokens > 0
    assert chat.export("md").startswith("# Talk\n\n## User\n\nhello <s>\n\n## Assistant\n\nhi\n")
    assert chat.export("html").startswith("<!DOCTYPE html>")
    with pytest.raises(InvalidArgument, match="md, json or html"):
        chat.export("pdf")  # type: ignore[arg-type]


def test_a_window_that_this_model_cannot_have_is_dropped(
    told: tuple[ChatRuntime, Session],
) -> None:
    runtime, chat = told
    document = json.loads(chat.export("json"))
    document["session"]["window"] = 10**6
    assert runtime.import_session(json.dumps(document)).window is None


def test_a_file_that_makes_no_sense_changes_nothing(runtime: ChatRuntime) -> None:
    with pytest.raises(InvalidArgument):
        runtime.import_session("{}")
    assert runtime.sessions() == []
