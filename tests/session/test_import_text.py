"""Files that want to be imported: whatever they say, one sentence or a sound chat comes of it."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from kvchat.errors import InvalidArgument
from kvchat.session import import_text as importing
from kvchat.session.import_text import import_text
from kvchat.store.database import Database

Change = Callable[[dict[str, Any]], object]


def document() -> dict[str, Any]:
    return {
        "format": "kvchat-session-1",
        "session": {"id": "s1", "tree_id": "t1", "title": "chat", "tip_id": "b"},
        "messages": [
            {"id": "a", "role": "user", "text": "hi", "token_ids": [1, 2]},
            {"id": "b", "parent_id": "a", "role": "assistant", "text": "ho", "token_ids": [3]},
        ],
    }


def test_a_sound_file_is_imported() -> None:
    chat = import_text(json.dumps(document()))
    assert [row.text for row in chat.path] == ["hi", "ho"]
    assert chat.messages[0].token_ids == (1, 2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.update(format="other"), '"format" is not "kvchat-session-1"'),
        (lambda d: d.pop("messages"), "other parts than"),
        (lambda d: d.update(more=1), "other parts than"),
        (lambda d: d.update(session=[]), '"session" is no object'),
        (lambda d: d.update(messages={}), '"messages" are no list'),
        (lambda d: d["session"].update(admin=True), "unknown field 'admin'"),
        (lambda d: d["session"].update(window=0), "window is no integer from 1"),
        (lambda d: d["session"].update(window=True), "window is no integer"),
        (lambda d: d["session"].update(sinks=-2), "sinks is no integer"),
        (lambda d: d["session"].update(tip_id="z"), "stands on a message that is not in it"),
        (lambda d: d["session"].update(title="x" * 5000), "title has 5000 characters"),
        (lambda d: d["session"].update(sampling={"temperature": -1}), "sampling is impossible"),
        (lambda d: d["session"].update(sampling={"stop": 5}), "sampling is impossible"),
        (lambda d: d["session"].update(sampling={"x": 5}), "sampling is impossible"),
        (lambda d: d["session"].update(created_at=1e300), "created_at is no number"),
        (lambda d: d["session"].update(template_date="today"), "template_date is not a date"),
        (lambda d: d["session"].update(template_date="2020-99-99"), "template_date is not a date"),
        (lambda d: d["messages"].append(3), "message 3 is no object"),
        (lambda d: d["messages"][0].pop("text"), "message 1 has no text"),
        (lambda d: d["messages"][0].update(text=5), "text of message 1 is not text"),
        (lambda d: d["messages"][0].update(id="../x"), "id of message 1 is not an id"),
        (lambda d: d["messages"][0].update(id=["x"]), "id of message 1 is not an id"),
        (lambda d: d["messages"][0].update(role="system"), "role of message 1 is none of"),
        (lambda d: d["messages"][0].update(role=["user"]), "role of message 1 is none of"),
        (lambda d: d["messages"][0].update(state="streaming"), "state of message 1 is none of"),
        (lambda d: d["messages"][0].update(seed=-1), "seed of message 1 is no integer"),
        (lambda d: d["messages"][0].update(x=1), "message 1 has the unknown field 'x'"),
        (lambda d: d["messages"][1].update(id="a"), "message 2 has the id of another"),
        (lambda d: d["messages"][0].update(parent_id="b"), "message 1 is below a message that"),
        (lambda d: d["messages"][0].update(parent_id="a"), "message 1 is below a message that"),
        (lambda d: d["messages"][1].update(parent_id="gone"), "message 2 is below a message"),
        (lambda d: d["messages"].reverse(), "message 1 is below a message that"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_one_sentence(change: Change, sentence: str) -> None:
    wrong = document()
    change(wrong)
    with pytest.raises(InvalidArgument, match=sentence) as caught:
        import_text(json.dumps(wrong))
    assert caught.value.sentence.startswith("Cannot import this chat: ")
    assert caught.value.sentence.count(". ") == 0


@pytest.mark.parametrize(
    "token_ids",
    [[2**31], [1.5], ["1"], [True], [1, -1], [1, None], "12", {"a": 1}, [[1]], None, 10**9],
)
def test_impossible_token_ids_are_ignored(token_ids: object) -> None:
    wrong = document()
    wrong["messages"][0]["token_ids"] = token_ids
    assert import_text(json.dumps(wrong)).messages[0].token_ids == ()


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "{", "{}", "[]", '{"format": NaN}', '{"a": 1, "a": 2}', "[" * 100_000,
        '{"x":' * 10_000, "\x00", "\ud800", '{"format": "kvchat-session-1", "session": {}}',
        "9" * 100_000, "# Title only\n\ntext", "## Assistant\n\nI begin.",
        "## User\n\nx\n\n## System\n\nlate", '{"format": ' + "9" * 5000 + "}",
    ],
)  # fmt: skip
def test_text_that_is_no_chat_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^Cannot import this chat: "):
        import_text(text)


def test_too_large_a_text_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MAX_BYTES", 100)
    with pytest.raises(InvalidArgument, match="it has 101 characters, at most 100"):
        import_text("x" * 101)
    monkeypatch.undo()
    monkeypatch.setattr(importing, "MAX_MESSAGES", 1)
    with pytest.raises(InvalidArgument, match="it has 2 messages, at most 1"):
        import_text(json.dumps(document()))


def test_surrogates_and_nul_become_visible_marks() -> None:
    odd = document()
    odd["messages"][0]["text"] = "a\ud800b\0c"
    odd["session"]["title"] = "\udfff"
    chat = import_text(json.dumps(odd))
    assert chat.messages[0].text == "a�b␀c"
    assert chat.session.title == "�"
    assert import_text("## User\n\n\ud800\0").messages[0].text == "�␀"


def test_markdown_of_others_is_read_as_far_as_its_headings_go() -> None:
    chat = import_text(
        "\ufeffintro\n\n# Cooking \n\n## User\nhow?\n## User\nquickly\n## Assistant\n"
    )
    assert chat.session.title == "Cooking"
    assert [(row.role, row.text) for row in chat.path] == [
        ("user", "how?\n\nquickly"), ("assistant", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("part", range(3))
def test_a_mangled_file_gives_a_sentence_or_a_chat_that_can_be_stored(part: int) -> None:
    values: list[object] = [
        None,
        True,
        -1,
        2**70,
        1e15,
        "",
        "x",
        [],
        {},
        "\ud800",
        [[]],
        {"a": {}},
        "b",
        "a",
    ]
    num_stored = 0
    for seed in range(part * 200, part * 200 + 200):
        dice = random.Random(seed)
        mangled = copy.deepcopy(document())
        for _ in range(dice.randint(1, 3)):
            place: Any = dice.choice([mangled, mangled["session"], *mangled["messages"]])
            if not isinstance(place, dict):
                continue
            place[dice.choice([*place, "label", "window", "seed"])] = dice.choice(values)
            if not isinstance(mangled.get("session"), dict):
                break
            if not isinstance(mangled.get("messages"), list):
                break
        text = json.dumps(mangled)
        if dice.random() < 0.3:
            at = dice.randrange(len(text))
            text = text[:at] + dice.choice('{}[]",:x\\') + text[at + 1 :]
        try:
            chat = import_text(text)
        except InvalidArgument:
            continue
        database = Database(None)
        row = database.import_chat(chat.session, chat.messages)
        assert len(database.load_path(row.tip_id)) == row.num_messages
        database.close()
        num_stored += 1
    assert num_stored > 5


def test_markdown_with_the_line_ends_of_windows_is_the_same_chat() -> None:
    text = "# Tales\n\n## User\n\nTell me\ntwo.\n\n## Assistant\n\nOnce\n"
    chats = [import_text(each) for each in (text, text.replace("\n", "\r\n"))]
    first, second = ([row.text for row in chat.messages] for chat in chats)
    assert first == second == ["Tell me\ntwo.", "Once"]
    mixed = import_text(text.replace("two.", "two.\r\nNow."))
    assert mixed.messages[0].text == "Tell me\ntwo.\r\nNow."  # what somebody pasted stays
