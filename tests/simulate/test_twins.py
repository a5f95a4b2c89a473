"""What each act does to a path, on plain lists."""

from dataclasses import replace

import pytest

from kvchat.simulate.facts import Act, Kind, Stands
from kvchat.simulate.twins import NewMessage, Twins, Violation
from kvchat.store.rows import MessageRow

Path = tuple[MessageRow, ...]


def path_of(*messages: tuple[str, str, tuple[int, ...]]) -> Path:
    """A path of (id, text, token ids); users and replies take turns."""
    rows: list[MessageRow] = []
    for place, (message_id, text, token_ids) in enumerate(messages):
        parent_id = rows[-1].id if rows else None
        role = "assistant" if place % 2 else "user"
        rows.append(MessageRow(message_id, "tree", parent_id, role, text, token_ids))  # type: ignore[arg-type]
    return tuple(rows)


PATH = path_of(
    ("u1", "one", (1, 2)), ("r1", "un", (3, 4, 5)), ("u2", "two", (6,)), ("r2", "deux", (7, 8))
)


@pytest.fixture
def twins() -> Twins:
    found = Twins()
    found.follow("a", PATH)
    return found


def expected(twins: Twins, kind: Kind, path: Path = (), **values: object) -> list[object]:
    act = Act(kind, "b" if kind in ("fork", "branch", "ask") else "a", "a", **values)  # type: ignore[arg-type]
    return list(twins.expected_path(Stands(act, path)))


@pytest.mark.parametrize(
    ("position", "path"),
    [
        (0, []),
        (1, []),
        (2, ["u1"]),
        (4, ["u1", NewMessage("assistant", first_ids=(3, 4), is_whole=True)]),
        (5, ["u1", "r1"]),
        (6, ["u1", "r1", "u2"]),
        (8, ["u1", "r1", "u2", "r2"]),
    ],
)
def test_a_fork_at_a_position_ends_there(twins: Twins, position: int, path: list[object]) -> None:
    assert expected(twins, "fork", place=position) == path


@pytest.mark.parametrize(
    ("position", "path"),
    [
        (2, ["u1", NewMessage("assistant", first_ids=(9,))]),
        (4, ["u1", NewMessage("assistant", first_ids=(3, 4, 9))]),
        (5, ["u1", NewMessage("assistant", first_ids=(3, 4, 5, 9))]),
        (8, ["u1", "r1", "u2", NewMessage("assistant", first_ids=(7, 8, 9))]),
    ],
)
def test_a_branch_keeps_what_is_before_its_token(
    twins: Twins, position: int, path: list[object]
) -> None:
    assert expected(twins, "branch", place=position, token=9) == path


def test_an_edit_replaces_the_message_and_what_is_below(twins: Twins) -> None:
    reply = NewMessage("assistant")
    assert expected(twins, "edit", place="u2", text="zwei") == [
        "u1",
        "r1",
        NewMessage("user", "zwei"),
        reply,
    ]
    assert expected(twins, "edit", place="r1", text="no") == ["u1", NewMessage("assistant", "no")]
    assert twins.sessions["a"].undo == ["r2", "r2"]


def test_another_answer_keeps_tokens_and_the_question(twins: Twins) -> None:
    question = NewMessage("user", "two", or_known=True)
    kept = NewMessage("assistant", first_ids=(7, 9))
    assert expected(twins, "regenerate", num_kept=1, token=9) == ["u1", "r1", question, kept]
    first = NewMessage("user", "one", or_known=True)
    assert expected(twins, "regenerate", place="u1") == [first, NewMessage("assistant")]
    assert twins.sessions["a"].undo == ["r2", "r2"]


def test_moves_are_taken_back_one_after_the_other(twins: Twins) -> None:
    assert expected(twins, "rewind", place=1) == ["u1", "r1"]
    twins.follow("a", PATH[:2])
    assert expected(twins, "hide", place="r1") == ["u1"]
    twins.follow("a", PATH[:1])
    assert expected(twins, "show", place="r2") == ["u1", "r1", "u2", "r2"]
    twins.follow("a", PATH)
    assert [expected(twins, "undo") for _ in range(3)] == [
        ["u1"],
        ["u1", "r1"],
        ["u1", "r1", "u2", "r2"],
    ]
    with pytest.raises(Violation, match="nowhere to go"):
        expected(twins, "undo")


def test_a_rewind_to_where_it_stands_is_no_move(twins: Twins) -> None:
    assert expected(twins, "rewind", place="r2") == ["u1", "r1", "u2", "r2"]
    assert twins.sessions["a"].undo == []


def test_a_visit_goes_through_the_message_and_is_none_where_it_stands(twins: Twins) -> None:
    assert expected(twins, "visit", place="r1") == ["u1", "r1", "u2", "r2"]
    other = (*PATH[:3], replace(PATH[3], id="r2b"))
    assert expected(twins, "visit", other, place="r2b") == ["u1", "r1", "u2", "r2b"]
    with pytest.raises(Violation, match="visited another message"):
        expected(twins, "visit", PATH, place="r2b")


def test_answers_to_one_question_share_it(twins: Twins) -> None:
    question = NewMessage("user", "why", or_known=True)
    assert expected(twins, "ask", text="why") == [
        "u1",
        "r1",
        "u2",
        "r2",
        question,
        NewMessage("assistant"),
    ]


def test_a_session_left_before_its_prompt_was_written_has_an_open_undo_list(twins: Twins) -> None:
    twins.undrawn.add("r2")
    assert expected(twins, "rewind", place=1) == ["u1", "r1"]
    assert twins.sessions["a"].undo is None
