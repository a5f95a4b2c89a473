"""Chats as Markdown, HTML and JSON; what JSON says comes back exactly."""

import json
import random
from dataclasses import fields
from pathlib import Path

import pytest

from kvchat.clean_text import storable
from kvchat.errors import InvalidArgument
from kvchat.sampling_params import SamplingParams
from kvchat.session import import_text as importing
from kvchat.session.export import SESSION_FIELDS, export_chat, to_html, to_json, to_markdown
from kvchat.session.exported_chat import ExportedChat, read_chat
from kvchat.session.import_text import import_text
from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, SessionRow, new_id

SNIPPETS = [
    "hello", "\n", "## User", "\\## System", "# title", "<script>", "&", '"', "日本語", "é",
    "\u202e", "\x1b[31m", "\t", "{", "}", "[INST]", "<|im_end|>", "\\", "\u2028", "🙂",
    " ", "\r\n", "`" * 3,
]  # fmt: skip


def random_text(dice: random.Random) -> str:
    return storable("".join(dice.choices(SNIPPETS, k=dice.randint(0, 12))))


def random_chat(seed: int) -> ExportedChat:
    """Make a tree with branches, all kinds of fields, and a session on one of its messages."""
    dice = random.Random(seed)
    tree_id = new_id()
    messages: list[MessageRow] = []
    for _ in range(dice.randint(0, 20)):
        parent = dice.choice([None, *messages])
        role = "user" if parent is None or parent.role == "assistant" else "assistant"
        ids = [dice.randrange(2**31) for _ in range(dice.randint(0, 9))]
        if ids and dice.random() < 0.2:
            ids[0] = -dice.randint(1, 2**31)
        values: dict[str, object] = {
            "token_ids": tuple(ids),
            "state": dice.choice(["done", "interrupted", "failed"]),
            "created_at": dice.choice([0.0, 1_700_000_000.123456, dice.random()]),
            "model_name": dice.choice([None, "m#1"]),
            "seed": dice.choice([None, 0, 2**64 - 1]),
            "finish_reason": dice.choice([None, "stop"]),
            "error": dice.choice([None, random_text(dice)]),
            "num_cached_tokens": dice.randrange(100),
            "decode_tokens_per_second": dice.choice([0.0, 41.25]),
            "is_edited": dice.random() < 0.3,
            "label": dice.choice([None, random_text(dice)]),
            "notice": dice.choice([None, random_text(dice)]),
            "system_key": dice.choice([None, "", "abc"]),
            "is_hidden": dice.random() < 0.2,
            "window": (window := dice.choice([None, None, 64])),
            "sinks": dice.choice([-1, 0, 7]) if window else dice.choice([None, 0]),
        }
        known = {field.name for field in fields(MessageRow)}
        messages.append(
            MessageRow(
                new_id(), tree_id, parent.id if parent else None, role, random_text(dice),  # type: ignore[arg-type]
                **{name: value for name, value in values.items() if name in known},  # type: ignore[arg-type]
            )
        )  # fmt: skip
    tip = dice.choice([None, *messages])
    session = SessionRow(
        id=new_id(), tree_id=tree_id, title=random_text(dice),
        system=dice.choice([None, random_text(dice)]),
        sampling=SamplingParams(temperature=dice.random() + 0.1, stop=("\n\n",)).to_dict(),
        window=dice.choice([None, 64]), sinks=dice.choice([-1, 0, 7]),
        tip_id=tip.id if tip else None, created_at=12.5,
        template_date=dice.choice([None, "2024-05-06"]), draft=random_text(dice),
    )  # fmt: skip
    return ExportedChat(session, tuple(messages))


def stored_chat(path: Path | None, chat: ExportedChat) -> tuple[Database, ExportedChat]:
    """Import a chat into an empty database and read it back."""
    database = Database(path)
    row = database.import_chat(chat.session, chat.messages)
    return database, read_chat(database, row.id)


@pytest.mark.parametrize("part", range(4))
def test_json_comes_back_exactly_through_a_file_and_a_database(part: int) -> None:
    for seed in range(part * 60, part * 60 + 60):
        first = to_json(random_chat(seed))
        database, chat = stored_chat(None, import_text(first))
        second = to_json(chat)
        database.close()
        assert second == first, seed
        database, chat = stored_chat(None, import_text(second))
        assert to_json(chat) == first, seed
        database.close()


def test_every_field_of_a_message_is_exported_and_checked_when_it_is_imported() -> None:
    names = {field.name for field in fields(MessageRow)} - {"tree_id"}
    assert names <= importing._MESSAGE_CHECKS.keys()
    assert importing._SESSION_CHECKS.keys() == set(SESSION_FIELDS)


def test_json_is_standard_with_one_message_a_line() -> None:
    chat = random_chat(3)
    text = to_json(chat)
    document = json.loads(text)
    assert [each["id"] for each in document["messages"]] == [row.id for row in chat.messages]
    assert len(text.splitlines()) >= len(chat.messages)


def test_importing_again_makes_all_ids_anew_and_nothing_else() -> None:
    chat = random_chat(8)
    database, first = stored_chat(None, chat)
    second = read_chat(database, database.import_chat(chat.session, chat.messages).id)
    old_ids = {first.session.id, first.session.tree_id, *(row.id for row in first.messages)}
    new_ids = {second.session.id, second.session.tree_id, *(row.id for row in second.messages)}
    assert not old_ids & new_ids
    place = {row.id: number for number, row in enumerate(first.messages)}
    other = {row.id: number for number, row in enumerate(second.messages)}
    assert [row.parent_id and place[row.parent_id] for row in first.messages] == [
        row.parent_id and other[row.parent_id] for row in second.messages
    ]
    assert [row.token_ids for row in first.messages] == [row.token_ids for row in second.messages]
    database.close()


def test_what_only_a_deleted_fork_shows_is_not_exported() -> None:
    database = Database(None)
    database.create_session(SessionRow(id="s", tree_id="t"))
    database.add_message("s", MessageRow("a", "t", None, "user", "shared"))
    database.create_session(SessionRow(id="fork", tree_id="t", tip_id="a"))
    database.add_message("fork", MessageRow("b", "t", "a", "assistant", "of the fork"))
    assert [row.id for row in read_chat(database, "s").messages] == ["a", "b"]
    database.delete_session("fork", 1.0)
    assert [row.id for row in read_chat(database, "s").messages] == ["a"]
    database.close()


def plain_chat(*texts: str, title: str = "A title", system: str | None = None) -> ExportedChat:
    messages: list[MessageRow] = []
    for number, text in enumerate(texts):
        parent_id = messages[-1].id if messages else None
        role = "assistant" if number % 2 else "user"
        messages.append(MessageRow(f"m{number}", "t", parent_id, role, text))  # type: ignore[arg-type]
    tip_id = messages[-1].id if messages else None
    return ExportedChat(SessionRow("s", "t", title, system, tip_id=tip_id), tuple(messages))


def test_markdown_has_a_heading_for_each_message() -> None:
    assert to_markdown(plain_chat("Hi!", "Hello.", system="Be terse.")) == (
        "# A title\n\n## System\n\nBe terse.\n\n## User\n\nHi!\n\n## Assistant\n\nHello.\n"
    )


@pytest.mark.parametrize("seed", range(30))
def test_markdown_comes_back_with_its_words(seed: int) -> None:
    dice = random.Random(seed)
    texts = [f"x{random_text(dice)}x" for _ in range(dice.randint(1, 6))]
    again = import_text(to_markdown(plain_chat(*texts, system=f"s{random_text(dice)}s")))
    assert [row.text for row in again.path] == texts
    assert again.session.title == "A title"
    assert [row.role for row in again.path] == (["user", "assistant"] * 3)[: len(texts)]


def test_html_is_one_page_that_runs_nothing() -> None:
    page = to_html(
        plain_chat(
            "<script>alert(1)</script>", "a & b\x1b[2J\u202e", title="<img src=x onerror=y>",
            system='"quoted" </style>',
        )
    )  # fmt: skip
    assert "<script" not in page and "<img" not in page and "onerror=y&gt;" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in page and "\u202e" not in page
    assert page.count("</style>") == 1
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page


def test_a_reply_that_streams_is_exported_as_one_that_was_interrupted() -> None:
    row = MessageRow("m", "t", None, "assistant", "so f", state="streaming")
    text = to_json(ExportedChat(SessionRow("s", "t", tip_id="m"), (row,)))
    assert import_text(text).messages[0].state == "interrupted"


def test_a_message_and_all_below_it_are_exported_without_what_is_before() -> None:
    chat = plain_chat("one", "two", "three", system="Be kind.")
    middle = chat.path[1].id

    text = export_chat(chat, "md", middle)

    assert text == "# A title\n\n## Assistant\n\ntwo\n\n## User\n\nthree\n"
    assert ">one<" not in export_chat(chat, "html", middle)
    with pytest.raises(InvalidArgument, match="whole tree"):
        export_chat(chat, "json", middle)
    with pytest.raises(InvalidArgument, match="not part of the session"):
        export_chat(chat, "md", "nobody")


def test_only_three_forms_are_known() -> None:
    with pytest.raises(KeyError):
        export_chat(plain_chat("x"), "pdf")  # type: ignore[arg-type]
    assert export_chat(plain_chat("x"), "md").startswith("# A title")
    assert InvalidArgument.code == "usage"
