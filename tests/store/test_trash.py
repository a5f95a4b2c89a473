from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, SessionRow, Undone
from kvchat.store.trash import Purged
from kvchat.store.tree_ways import TreeWays

Make = Callable[..., MessageRow]


@pytest.fixture
def family(database: Database, session: SessionRow, user: Make) -> Iterator[Database]:
    """Sessions "s" (a, b, c) and "fork" (a, d, e), which also has f, where it went back from."""
    database.create_session(session)
    parent = None
    for name in "abc":
        database.add_message("s", user(name, parent, text=f"secret-{name}"))
        parent = name
    database.create_session(replace(session, id="fork", tip_id="a", draft="secret-draft"))
    for name, parent in (("d", "a"), ("f", "d")):
        database.add_message("fork", user(name, parent, text=f"secret-{name}"))
    database.move_tip("fork", "d", push_undo=True)
    database.add_message("fork", user("e", "d", text="secret-e"))
    yield database


def names(database: Database) -> str:
    return "".join(sorted(database.read(lambda row: str(row[0]), "SELECT id FROM messages")))


def test_a_way_goes_from_the_root_to_its_tips(family: Database) -> None:
    ways = TreeWays(family, "t")
    assert ways.way_to("c") == {"a", "b", "c"}
    assert ways.way_to("c", "f", None) == {"a", "b", "c", "d", "f"}
    assert [place.id for place in ways.sessions] == ["fork", "s"]


def test_purging_a_fork_keeps_what_others_stand_on(family: Database) -> None:
    family.delete_session("fork", 1.0)
    assert TreeWays(family, "t").left_to_deleted() == set("def")
    assert family.purge() == Purged(1, 3)
    assert names(family) == "abc"
    assert [row.id for row in family.list_sessions()] == ["s"]
    assert family.list_sessions(deleted=True) == []
    assert [row.id for row in family.load_path("c")] == ["a", "b", "c"]


def test_purging_all_sessions_of_a_tree_erases_the_tree(family: Database) -> None:
    family.delete_session("fork", 1.0)
    family.delete_session("s", 1.0)
    assert family.purge() == Purged(2, 6)
    assert names(family) == ""


def test_what_a_live_session_can_return_to_is_kept(family: Database) -> None:
    family.move_tip("s", "a", push_undo=True)
    family.delete_session("fork", 1.0)
    family.purge()
    assert names(family) == "abc"
    assert family.undo("s") == Undone("c", None)


def test_what_hangs_below_erased_messages_goes_with_them(family: Database, user: Make) -> None:
    family.insert_message(user("g", "e"))
    family.delete_session("fork", 1.0)
    assert family.purge().num_messages == 4
    assert names(family) == "abc"


def test_purging_an_empty_trash_changes_nothing(family: Database) -> None:
    before = family.num_commits
    assert family.purge() == Purged(0, 0)
    assert family.num_commits == before


def test_sessions_that_are_not_deleted_search_as_before_after_a_purge(family: Database) -> None:
    family.delete_session("fork", 1.0)
    family.purge()
    assert [hit.message_id for hit in family.search("secret", 9).hits] == ["c", "b", "a"]


def test_no_byte_of_purged_text_stays_in_any_file(family: Database, path: Path, user: Make) -> None:
    family.enqueue_prompt("fork", "secret-waiting")
    for number in range(200):  # over many pages, and indexed
        family.add_message("fork", user(f"m{number}", "e", text=f"secret-long {number} " * 20))
    while family.num_gaps:
        family.index_slice()
    family.delete_session("fork", 1.0)
    family.purge()
    kept = (b"secret-a", b"secret-b", b"secret-c")
    left = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert all(text in left for text in kept)
    for text in (b"secret-d", b"secret-e", b"secret-f", b"secret-long", b"secret-waiting",
                 b"secret-draft", b"t-l"):  # fmt: skip
        assert text not in left
    assert family._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert family._connection.execute("PRAGMA foreign_key_check").fetchall() == []
