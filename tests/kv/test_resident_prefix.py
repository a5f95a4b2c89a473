"""The longest prefix all layer groups can serve, with and without windows."""

import pytest

from kvchat.kv.block_pool import BlockPool
from kvchat.kv.block_table import HOLE, BlockTable
from kvchat.kv.paged_sequence import PagedSequence
from kvchat.kv.resident_prefix import ResidentPrefix, find_resident_prefix
from kvchat.kv.spec import VisibleSet
from kvchat.kv.step import Step
from kvchat.kv.window_schedule import WindowSchedule

SIZE, SALT = 4, b"model"
ALL, LAST_6 = WindowSchedule.always(VisibleSet()), WindowSchedule.always(VisibleSet(6))
TOKENS = list(range(100, 140))


def computed(visible_sets: list[WindowSchedule], visible: WindowSchedule = ALL) -> PagedSequence:
    """A sequence of 40 tokens in 10 blocks of each layer group; block 0 holds tokens 0..3."""
    sequence = PagedSequence(visible, [BlockTable(BlockPool(16), SIZE) for _ in visible_sets])
    step = Step(SIZE, SALT)
    step.add(sequence, len(TOKENS), TOKENS)
    step.commit()
    return sequence


def find(
    source: PagedSequence, visible_sets: list[WindowSchedule], token_ids: list[int]
) -> ResidentPrefix | None:
    fresh = PagedSequence(source.schedule, [BlockTable(t.pool, SIZE) for t in source.tables])
    return find_resident_prefix(fresh, token_ids, visible_sets, SIZE, SALT)


@pytest.mark.parametrize(
    ("num_tokens", "length"),
    [(1, 0), (3, 2), (4, 3), (5, 4), (39, 38), (40, 39), (41, 40), (60, 40)],
)
def test_a_prompt_is_found_up_to_the_last_token_but_one(num_tokens: int, length: int) -> None:
    prompt = [*TOKENS, *range(20)][:num_tokens]
    prefix = find(computed([ALL]), [ALL], prompt)
    assert (0 if prefix is None else prefix.length) == length


def test_the_prefix_ends_at_the_first_other_token() -> None:
    prefix = find(computed([ALL]), [ALL], [*TOKENS[:21], 7, *TOKENS[22:]])
    assert prefix is not None
    assert (prefix.length, prefix.blocks) == (21, [[0, 1, 2, 3, 4, 5]])
    assert len(prefix.keys) == 5


def test_without_a_window_every_block_is_needed() -> None:
    source = computed([ALL])
    source.tables[0].pool.index.forget(3)
    prefix = find(source, [ALL], [*TOKENS, 1])
    assert prefix is not None
    assert prefix.length == 12


def test_a_windowed_group_needs_only_its_last_positions() -> None:
    source = computed([LAST_6])
    for block in range(8):
        source.tables[0].pool.index.forget(block)
    prefix = find(source, [LAST_6], [*TOKENS, 1])
    assert prefix is not None
    assert (prefix.length, prefix.blocks) == (40, [[HOLE] * 8 + [8, 9]])


def test_a_windowed_group_serves_a_shorter_prefix_when_its_last_block_is_gone() -> None:
    source = computed([LAST_6])
    source.tables[0].pool.index.forget(9)
    prefix = find(source, [LAST_6], [*TOKENS, 1])
    assert prefix is not None
    assert (prefix.length, prefix.blocks) == (36, [[HOLE] * 7 + [7, 8]])


def test_all_groups_serve_the_same_prefix_or_none() -> None:
    source = computed([ALL, LAST_6])
    source.tables[0].pool.index.forget(8)
    source.tables[1].pool.index.forget(6)
    prefix = find(source, [ALL, LAST_6], [*TOKENS, 1])
    # Group 0 serves 8 blocks at most, group 1 none that ends in block 6 or 7.
    assert prefix is not None
    assert (prefix.length, prefix.blocks) == (24, [[0, 1, 2, 3, 4, 5], [HOLE] * 4 + [4, 5]])


def test_sinks_are_needed_as_well_as_the_window() -> None:
    visible = WindowSchedule.always(VisibleSet(6, 4))
    source = computed([visible], visible)
    source.tables[0].pool.index.forget(0)
    assert find(source, [visible], [*TOKENS, 1]) is None


@pytest.mark.parametrize("window", range(1, 14))
def test_the_window_is_judged_where_the_prefix_ends_not_where_its_block_does(window: int) -> None:
    """A prompt cached to its last token ends inside a block, from where the window sees more."""
    visible = WindowSchedule.always(VisibleSet(window))
    prefix = find(computed([visible]), [visible], TOKENS)
    assert prefix is not None
    first = (prefix.length - window + 1) // SIZE
    assert prefix.length == 39
    assert [block != HOLE for block in prefix.blocks[0]] == [i >= first for i in range(10)]


def test_another_window_finds_only_blocks_before_anything_was_hidden() -> None:
    source = computed([WindowSchedule.always(VisibleSet(8))], WindowSchedule.always(VisibleSet(8)))
    fresh = PagedSequence(ALL, [BlockTable(source.tables[0].pool, SIZE)])
    prefix = find_resident_prefix(fresh, [*TOKENS, 1], [ALL], SIZE, SALT)
    assert prefix is not None
    assert prefix.length == 8


def test_another_salt_finds_nothing() -> None:
    source = computed([ALL])
    fresh = PagedSequence(ALL, [BlockTable(source.tables[0].pool, SIZE)])
    assert find_resident_prefix(fresh, TOKENS, [ALL], SIZE, b"other") is None


def test_a_sequence_that_has_as_much_already_finds_nothing_more() -> None:
    source = computed([ALL])
    assert find_resident_prefix(source, [*TOKENS, 1, 2, 3], [ALL], SIZE, SALT) is None


def test_looking_counts_no_reference() -> None:
    source = computed([ALL])
    find(source, [ALL], TOKENS)
    assert set(source.tables[0].pool.ref_counts) <= {0, 1}
