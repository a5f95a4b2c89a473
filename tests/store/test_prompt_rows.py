from collections.abc import Callable

import pytest

from kvchat.errors import SessionNotFound
from kvchat.store import prompt_rows
from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, SessionRow

Make = Callable[..., MessageRow]


@pytest.fixture
def chat(database: Database, session: SessionRow) -> Database:
    database.create_session(session)
    return database


def test_drafts_of_several_sessions_are_kept_in_one_commit(
    chat: Database, session: SessionRow
) -> None:
    chat.create_session(SessionRow(id="b", tree_id="b"))
    before = chat.num_commits
    chat.set_drafts({"s": "one", "b": "two\0", "gone": "three"})
    assert chat.num_commits == before + 1
    assert (chat.session("s").draft, chat.session("b").draft) == ("one", "two␀")


def test_prompts_wait_in_order_and_the_last_can_be_taken_back(chat: Database) -> None:
    chat.set_drafts({"s": "second"})
    chat.enqueue_prompt("s", "first")
    chat.enqueue_prompt("s", "second")
    assert chat.session("s").draft == ""
    assert chat.waiting_prompts("s") == ["first", "second"]
    assert chat.unqueue_prompt("s") == "second"
    assert chat.unqueue_prompt("s") == "first"
    assert chat.unqueue_prompt("s") is None
    with pytest.raises(SessionNotFound):
        chat.enqueue_prompt("nobody", "x")


def test_a_waiting_prompt_is_sent_in_one_transaction(chat: Database, user: Make) -> None:
    chat.enqueue_prompt("s", "first")
    chat.enqueue_prompt("s", "second")
    chat.add_message("s", user("u1", text="first"), take_waiting=True)
    assert chat.waiting_prompts("s") == ["second"]
    chat.add_message("s", user("u2", "u1"))
    assert chat.waiting_prompts("s") == ["second"]


def test_waiting_prompts_are_given_back_to_the_draft(chat: Database) -> None:
    chat.create_session(SessionRow(id="b", tree_id="b"))
    for name in ("s", "b"):
        chat.enqueue_prompt(name, "first")
    chat.enqueue_prompt("s", "second")
    chat.set_drafts({"s": "typed"})
    chat.return_waiting_prompts("s")
    assert chat.session("s").draft == "first\n\nsecond\n\ntyped"
    assert chat.waiting_prompts("s") == []
    assert chat.waiting_prompts("b") == ["first"]


def test_prompts_that_waited_when_the_process_ended_are_in_the_draft(chat: Database) -> None:
    chat.enqueue_prompt("s", "first")
    chat.enqueue_prompt("s", "second")
    chat.close()
    again = Database(chat.path)
    assert again.session("s").draft == "first\n\nsecond"
    assert again.waiting_prompts("s") == []
    again.close()


def test_the_history_has_sent_and_remembered_prompts_newest_last_and_once(
    chat: Database, user: Make, reply: Make
) -> None:
    chat.add_message("s", user("u1", text="sent"))
    chat.begin_reply("s", reply("r1", "u1"))
    chat.remember_prompt("cleared")
    chat.add_message("s", user("u2", "r1", text="sent again"))
    chat.add_message("s", user("u3", "u2", text="sent"))
    assert chat.recent_prompts(10) == ["cleared", "sent again", "sent"]
    assert chat.recent_prompts(2) == ["sent again", "sent"]
    assert chat.recent_prompts(0) == []


def test_only_so_many_unsent_prompts_are_remembered(
    chat: Database, user: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_rows, "MAX_REMEMBERED", 3)
    chat.add_message("s", user("u1", text="sent"))
    for number in range(5):
        chat.remember_prompt(f"cleared {number}")
    assert chat.recent_prompts(10) == ["sent", "cleared 2", "cleared 3", "cleared 4"]
