"""The manifest in memory: who uses which file, and which are to go."""

from dataclasses import replace

import pytest

from kvchat.kv.segments import ManifestRow, SegmentIndex
from kvchat.store.segment_register import SegmentRegister
from tests.store.segment_workload import LAYOUT


def row(
    name: str, first: int = 0, num_tokens: int = 8, num_bytes: int = 100, **changes: object
) -> ManifestRow:
    """A file of tokens from block `first` on; its name stands for its keys as well."""
    size = int(str(changes.get("block_size", LAYOUT.block_size)))
    ids = tuple(range(num_tokens))
    blocks = tuple(ids[at : at + size] for at in range(0, num_tokens, size))
    keys = tuple(f"{name} {place}".encode() for place in range(len(blocks)))
    index = SegmentIndex("", first, keys, keys, blocks, (tuple(range(len(blocks))),))
    made = ManifestRow(name, LAYOUT.model_digest, LAYOUT.scheme, size, index, (), num_bytes)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def register() -> SegmentRegister:
    register = SegmentRegister()
    rows = [
        row("old", use_order=1),
        row("small blocks", block_size=2, use_order=2),
        row("other model", model_digest="another", use_order=3),
        row("other cache", scheme="another", use_order=4),
    ]
    register.open(LAYOUT, rows, {"a": {"old", "small blocks", "other model"}})
    return register


def test_only_blocks_of_this_model_are_found_each_by_its_size(register: SegmentRegister) -> None:
    assert register.saved(4).names([b"old 0", b"other model 0", b"other cache 0"]) == {"old"}
    assert register.saved(2).names([b"small blocks 3"]) == {"small blocks"}
    assert register.other_sizes() == [2]
    register.forget("small blocks")
    assert register.other_sizes() == []


def test_open_tails_and_converted_files_are_replaced_by_full_blocks(
    register: SegmentRegister,
) -> None:
    for each in (row("tail", 2, 3), row("later tail", 4, 1), row("full", 0, 8)):
        register.add(each)
    names = register.names_of("a") | {"tail", "later tail", "full"}
    register.use("a", names)
    assert register.replaced("a", 1) == set()
    assert register.replaced("a", 2) == {"small blocks"}
    assert register.replaced("a", 3) == {"small blocks", "tail"}
    assert register.replaced("a", 9) == {"small blocks", "tail", "later tail"}
    assert register.replaced("nobody", 9) == set()


def test_a_fork_uses_its_parents_files_until_it_leaves(register: SegmentRegister) -> None:
    assert register.share("a", "b") and not register.share("nobody", "c")
    assert register.names_of("b") == register.names_of("a")
    assert register.leave("a") and not register.leave("a")
    assert register.names_of("a") == set() and "old" in register.names_of("b")
    register.forget("old")
    assert "old" not in register.names_of("b") and "old" not in register


def test_files_used_longest_ago_go_first_and_ends_before_beginnings(
    register: SegmentRegister,
) -> None:
    for first in (4, 0, 2):
        register.add(row(f"part {first}", first))
    register.note_use(["part 0", "part 2", "part 4"])
    register.note_use(["other model"])
    assert register.victims(700, set()) == []
    assert register.victims(600, set()) == ["old"]
    assert register.victims(300, {"small blocks"}) == ["old", "other cache", "part 4", "part 2"]
    assert register.victims(0, set(register.names())) == []
