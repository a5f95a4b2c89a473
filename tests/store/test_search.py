import random
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kvchat.store import search
from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, ReplyEnd, ReplyUpdate, SessionRow
from kvchat.store.search import SNIPPET_LENGTH, contains, snippet_of, words_of

Make = Callable[..., MessageRow]
ALPHABET = "abcABC éÉñ жЖ 日本語の猫 🙂 \"'*():^-+%_\\ AND OR NOT NEAR"


@pytest.fixture
def chat(database: Database, session: SessionRow) -> Database:
    database.create_session(session)
    return database


def say(database: Database, *texts: str, session: str = "s", tree: str = "t") -> None:
    """Add messages below each other to a session, named m0, m1, ..."""
    parent = database.session(session).tip_id
    for text in texts:
        (number,) = database.read(lambda row: int(str(row[0])), "SELECT count(*) FROM messages")
        row = MessageRow(f"m{number}", tree, parent, "user", text, created_at=float(number))
        database.add_message(session, row)
        parent = row.id


def found(database: Database, query: str, limit: int = 50) -> list[str]:
    return [hit.message_id for hit in database.search(query, limit).hits]


def index_all(database: Database) -> None:
    while database.num_gaps:
        database.index_slice()


@pytest.fixture(params=["gaps", "index", "no FTS5"])
def settle(request: pytest.FixtureRequest) -> Callable[[Database], None]:
    """Brings messages to where they are searched: not indexed yet, indexed, or without an index."""

    def to_place(database: Database) -> None:
        if request.param == "index":
            index_all(database)
            assert database._connection.execute("SELECT * FROM search_gaps").fetchall() == []
        elif request.param == "no FTS5":
            database.has_index = False

    return to_place


Settle = Callable[[Database], None]


def test_all_words_are_found_in_any_order_and_case_newest_first(
    chat: Database, settle: Settle
) -> None:
    say(chat, "The quick brown fox", "a BROWN bear", "Fox, brown and quick", "nothing here")
    settle(chat)
    assert found(chat, "brown") == ["m2", "m1", "m0"]
    assert found(chat, "FOX quick") == ["m2", "m0"]
    assert found(chat, "fox bear") == []
    assert found(chat, "ick") == ["m2", "m0"]
    assert found(chat, "brown", limit=2) == ["m2", "m1"]


def test_words_of_one_and_two_characters_and_scripts_without_spaces_are_found(
    chat: Database, settle: Settle
) -> None:
    say(chat, "東京都に住んでいます", "我喜欢吃苹果", "ÉCOLE Жук", "x = y")
    settle(chat)
    assert found(chat, "東京") == found(chat, "住んで") == found(chat, "都") == ["m0"]
    assert found(chat, "喜欢 苹果") == ["m1"]
    assert found(chat, "école жук") == ["m2"]
    assert found(chat, "y") == ["m3"]


@pytest.mark.parametrize("letter", ["İ", "Ჰ", "Ꭰ", "Ԯ", "Ⴀ", "ẞ", "Å", "K", "Ɤ", "𞤀"])
def test_letters_are_found_in_either_case_also_where_sqlite_does_not_know_them(
    chat: Database, settle: Settle, letter: str
) -> None:
    say(chat, f"ab{letter}cd", f"ab{letter.lower()}cd")
    settle(chat)
    assert found(chat, f"ab{letter}cd") == found(chat, f"AB{letter.lower()}CD") == ["m1", "m0"]


@pytest.mark.parametrize(
    "query",
    ["", "   ", '"', '"" AND', "a*", "NEAR(a b)", "text:x", "-x", "^x", "(", "a OR", "%", "_", "\\",
     "'; DROP TABLE messages; --", "\0", "\ud800", "x" * 100_000, "a " * 10_000, "*:*", "{a b}:c"],
)  # fmt: skip
def test_any_text_is_a_query(chat: Database, settle: Settle, query: str) -> None:
    say(chat, "plain words", query)
    settle(chat)
    expected = ["m1"] if query.split() else []
    assert found(chat, query)[:1] == expected


def test_the_index_finds_what_reading_every_text_finds(chat: Database) -> None:
    dice = random.Random(5)
    pieces = ALPHABET.split() + list(ALPHABET)
    texts = [
        "".join(dice.choices(pieces, k=dice.randint(1, 30))).strip() or "a" for _ in range(150)
    ]
    say(chat, *texts)
    index_all(chat)
    num_hits = 0
    for _ in range(400):
        query = "".join(dice.choices(pieces, k=dice.randint(1, 5)))
        words = words_of(query)
        expected = [
            f"m{number}" for number, text in enumerate(texts) if words and contains(text, words)
        ]
        assert found(chat, query, limit=1000) == expected[::-1], query
        num_hits += len(expected)
    assert num_hits > 1000


def test_a_query_is_answered_page_by_page(
    chat: Database, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MESSAGES_PER_LOOK", 3)
    say(chat, *(f"word {number % 2} tail" for number in range(10)))
    settle(chat)
    seen: list[str] = []
    before: int | None = None
    for _ in range(20):
        page = chat.search("word 1", 2, before)
        seen += [hit.message_id for hit in page.hits]
        before = page.before
        if before is None:
            break
    assert seen == ["m9", "m7", "m5", "m3", "m1"]
    assert before is None


def test_a_streaming_reply_is_found_when_it_has_ended(chat: Database, reply: Make) -> None:
    say(chat, "hello there")
    chat.begin_reply("s", reply("r", "m0"))
    chat.extend_replies([ReplyUpdate("r", "general greeting")])
    assert found(chat, "general") == []
    index_all(chat)
    chat.finish_reply("r", ReplyEnd("done"))
    assert found(chat, "general") == ["r"]
    index_all(chat)
    assert found(chat, "general") == ["r"]


def test_a_reply_that_a_crash_cut_is_found(chat: Database, reply: Make) -> None:
    say(chat, "hello there")
    chat.begin_reply("s", reply("r", "m0"))
    chat.extend_replies([ReplyUpdate("r", "general greeting")])
    chat.close()
    again = Database(chat.path)
    assert found(again, "general") == ["r"]
    again.close()


def test_a_hit_says_where_to_read_it(chat: Database, session: SessionRow) -> None:
    say(chat, "the first thing", "the second thing")
    chat.create_session(replace(session, id="fork", title="other way", tip_id="m0"))
    say(chat, "a third thing", session="fork")
    first, second, third = chat.search("thing", 9).hits[::-1]
    assert (third.session_id, third.title, third.role) == ("fork", "other way", "user")
    assert second.session_id == "s"
    assert first.session_id == "fork"  # on both ways, and this one was used last
    assert (second.snippet, second.created_at) == ("the second thing", 1.0)


def test_messages_that_a_session_went_back_from_are_still_found(chat: Database) -> None:
    say(chat, "keep", "left behind")
    chat.move_tip("s", "m0", push_undo=True)
    assert [hit.session_id for hit in chat.search("behind", 9).hits] == ["s"]


def test_messages_of_deleted_sessions_are_not_found_until_they_are_undeleted(
    chat: Database, session: SessionRow, settle: Settle
) -> None:
    say(chat, "shared word")
    chat.create_session(replace(session, id="fork", tip_id="m0"))
    say(chat, "word of the fork", session="fork")
    settle(chat)
    chat.delete_session("fork", 1.0)
    assert found(chat, "word") == ["m0"]
    chat.delete_session("s", 1.0)
    assert found(chat, "word") == []
    chat.undelete_session("fork")
    assert found(chat, "word") == ["m1", "m0"]


def test_a_snippet_is_one_line_around_the_first_word() -> None:
    text = "start " * 50 + "one\nneedle\tin  it" + " end" * 50
    snippet = snippet_of(text, ("needle",))
    assert "one needle in it" in snippet
    assert snippet.startswith("…") and snippet.endswith("…")
    assert len(snippet) <= SNIPPET_LENGTH + 2
    assert snippet_of("short needle", ("needle",)) == "short needle"
    assert snippet_of("İİİİ needle", ("needle",)) == "İİİİ needle"


def test_a_database_from_before_the_search_is_searched_at_once(tmp_path: Path) -> None:
    database = Database(tmp_path / "chats.db")
    database.create_session(SessionRow(id="s", tree_id="t"))
    say(database, "old words")
    with database.transaction() as connection:
        connection.execute("DROP TABLE search_index")
        connection.execute("INSERT OR IGNORE INTO search_gaps SELECT number FROM messages")
    database.close()
    again = Database(tmp_path / "chats.db")
    assert again.has_index
    assert found(again, "old") == ["m0"]
    again.close()


def test_a_damaged_index_is_made_again_and_hides_nothing(chat: Database) -> None:
    say(chat, *(f"needle number {number}" for number in range(200)))
    index_all(chat)
    with chat.transaction() as connection:
        connection.execute("UPDATE search_index_data SET block = x'00ff00ff' WHERE id > 10")
    assert len(found(chat, "needle", limit=1000)) == 200
    with chat.transaction() as connection:
        connection.execute("UPDATE search_index_data SET block = x'00ff00ff'")
    say(chat, "one more needle")
    index_all(chat)
    assert len(found(chat, "needle", limit=1000)) == 201


def test_an_index_that_was_emptied_where_fts5_is_missing_is_filled_again(
    chat: Database,
) -> None:
    say(chat, "some words", "more words")
    index_all(chat)
    chat.has_index = False
    with chat.transaction() as connection:
        chat.void_index(connection)
    assert found(chat, "words") == ["m1", "m0"]
    chat.close()
    again = Database(chat.path)
    index_all(again)
    assert found(again, "words") == ["m1", "m0"]
    again.close()


def test_without_fts5_a_database_works_and_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Database.read

    def without_module(self: Database, make: object, query: str, *values: object) -> object:
        if "pragma_module_list" in query:
            return []
        assert "search_index" not in query
        return read(self, make, query, *values)  # type: ignore[arg-type]

    monkeypatch.setattr(Database, "read", without_module)
    database = Database(tmp_path / "chats.db")
    database.create_session(SessionRow(id="s", tree_id="t"))
    say(database, *(f"words {number}" for number in range(100)))
    assert not database.wants_indexing
    assert len(found(database, "words", limit=1000)) == 100
    database.close()


def test_indexing_moves_a_bounded_slice(chat: Database) -> None:
    say(chat, *(f"text {number}" for number in range(search.GAPS_WORTH_INDEXING + 6)))
    assert chat.wants_indexing
    chat.index_slice()
    assert chat.num_gaps == 6
    assert not chat.wants_indexing
    with pytest.raises(sqlite3.OperationalError):  # positions are not kept; see void_index
        chat._connection.execute(
            "SELECT * FROM search_index WHERE search_index MATCH '\"text\"'"
        ).fetchall()


def test_hidden_messages_and_what_is_below_them_are_not_found(chat: Database) -> None:
    say(chat, "word one", "word two", "word three")
    chat.hide_message("s", "m1", "m0")
    assert found(chat, "word") == ["m0"]
    chat.undo("s")
    assert found(chat, "word") == ["m2", "m1", "m0"]
