from dataclasses import dataclass

from kvchat.session.tree import MessageTree, TreeNode
from kvchat.tui.tree_rows import MAX_DEPTH, tree_rows


@dataclass
class Said:
    id: str
    parent_id: str | None


def tree_of(parents: dict[str, str | None], labels: dict[str, str], tips: set[str]) -> MessageTree:
    return MessageTree(
        tuple(key for key, parent in parents.items() if parent is None),
        {
            key: TreeNode(
                Said(key, parent),  # type: ignore[arg-type]  # as much of a message as is read
                tuple(other for other, above in parents.items() if above == key),
                labels.get(key),
                ("s",) if key in tips else (),
            )
            for key, parent in parents.items()
        },
    )


FAMILY = {"u": None, "a": "u", "b": "u", "v": "a", "w": "b", "x": "w", "c": "v"}
TREE = tree_of(FAMILY, {"x": "best"}, {"c"})


def shape(rows: list[object]) -> list[tuple[object, ...]]:
    return [(row.message_id, row.depth, row.num_folded) for row in rows]  # type: ignore[attr-defined]


def test_what_is_beside_the_path_is_folded_to_its_first_message() -> None:
    rows = tree_rows(TREE, {"u", "a", "v", "c"}, {})
    assert shape([*rows]) == [("u", 0, 0), ("a", 1, 0), ("v", 1, 0), ("c", 1, 0), ("b", 1, 2)]


def test_folding_by_hand_wins_over_the_path() -> None:
    rows = tree_rows(TREE, {"u", "a", "v", "c"}, {"b": True, "a": False})
    assert shape([*rows]) == [("u", 0, 0), ("a", 1, 2), ("b", 1, 0), ("w", 1, 0), ("x", 1, 0)]


def test_mine_shows_only_what_leads_to_a_session() -> None:
    rows = tree_rows(TREE, set(), {"a": True}, "mine")
    assert [row.message_id for row in rows] == ["u", "a", "v", "c"]


def test_labelled_shows_named_places_and_where_sessions_stand() -> None:
    assert [row.message_id for row in tree_rows(TREE, set(), {}, "labelled")] == ["x", "c"]


def test_a_chat_of_many_thousand_turns_needs_no_stack() -> None:
    parents: dict[str, str | None] = {"0": None}
    for number in range(1, 20_000):
        parents[str(number)] = str(number - 1)
    chain = MessageTree(
        ("0",),
        {
            key: TreeNode(
                Said(key, parent),  # type: ignore[arg-type]
                (str(int(key) + 1),) if int(key) < 19_999 else (),
                None,
                (),
            )
            for key, parent in parents.items()
        },
    )
    rows = tree_rows(chain, set(parents), {})
    assert len(rows) == 20_000 and max(row.depth for row in rows) == 0 <= MAX_DEPTH
