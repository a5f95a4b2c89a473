"""WindowSchedule: what each position sees, compared with plain sets of positions."""

import random

import pytest

from kvchat.errors import InvalidArgument
from kvchat.kv.spec import VisibleSet
from kvchat.kv.window_schedule import WindowChange, WindowPart, WindowSchedule

SIZE = 4
LENGTH = 60


def any_schedule(rng: random.Random) -> WindowSchedule:
    starts = sorted({0, *(rng.randrange(1, LENGTH) for _ in range(rng.randrange(4)))})
    changes = [
        WindowChange(start, rng.choice((None, 1, 5, 8, 12, 30)), rng.choice((0, 3, 8)))
        for start in starts
    ]
    return WindowSchedule.of(changes, SIZE)


def seen_from(schedule: WindowSchedule, position: int) -> frozenset[int]:
    """The positions that a query sees, by the definition."""
    part = [each for each in schedule.parts if each.start <= position][-1]
    window, sinks = part.visible.window, part.visible.sinks
    return frozenset(
        key
        for key in range(position + 1)
        if window is None or position < sinks + window or key < sinks or key > position - window
    )


def test_a_block_is_hidden_when_no_later_query_sees_any_of_it() -> None:
    rng = random.Random(1)
    for _ in range(50):
        schedule = any_schedule(rng)
        most, length = schedule.most_blocks(SIZE), rng.randrange(LENGTH)
        most_left = schedule.most_blocks(SIZE, length)
        # Behind the last change a window shows what is hidden soon enough.
        needed = [seen_from(schedule, position) for position in range(LENGTH + 70)]
        for now in range(LENGTH + 30):
            alive = frozenset().union(*needed[now:]) & set(range(now))
            hidden = {
                index
                for index in range(now // SIZE)
                if alive.isdisjoint(range(index * SIZE, (index + 1) * SIZE))
            }
            assert set(schedule.hidden_blocks(now, SIZE)) == hidden, (schedule, now)
            num_held = -(-(now + 1) // SIZE) - len(hidden)
            assert most is None or num_held <= most
            assert now < length or most_left is None or num_held <= most_left


def test_salts_are_equal_exactly_where_the_tokens_of_a_block_see_the_same() -> None:
    rng = random.Random(2)
    schedules = [any_schedule(rng) for _ in range(60)]
    for index in range(12):
        positions = range(index * SIZE, (index + 1) * SIZE)
        found: dict[bytes, set[tuple[frozenset[int], ...]]] = {}
        salts: dict[tuple[frozenset[int], ...], set[bytes]] = {}
        for schedule in schedules:
            seen = tuple(seen_from(schedule, position) for position in positions)
            salt = schedule.block_salt(index, SIZE)
            found.setdefault(salt, set()).add(seen)
            salts.setdefault(seen, set()).add(salt)
        assert all(len(each) == 1 for each in found.values())
        # Two settings may show a token the same, as without sinks: they are only kept apart.
        plain = tuple(frozenset(range(position + 1)) for position in positions)
        assert salts.get(plain, {b""}) == {b""}


def test_a_window_that_never_changes_has_the_salt_it_always_had() -> None:
    schedule = WindowSchedule.of([WindowChange(0, 6, 3)], SIZE)
    salts = [schedule.block_salt(index, SIZE) for index in range(4)]
    assert salts == [b"", b"", b"|4|6", b"|4|6"]


@pytest.mark.parametrize("first", [WindowChange(0, 5, 0), WindowChange(0, 8, 4)])
def test_a_change_at_the_position_where_its_window_slides_has_a_salt_of_its_own(
    first: WindowChange,
) -> None:
    changed = WindowSchedule.of([first, WindowChange(18, 18, 0)], SIZE)
    always = WindowSchedule.of([WindowChange(0, 18, 0)], SIZE)
    assert changed.block_salt(4, SIZE) != always.block_salt(4, SIZE)
    assert changed.block_salt(5, SIZE) == always.block_salt(5, SIZE)


def test_two_schedules_agree_up_to_the_first_position_that_sees_otherwise() -> None:
    rng = random.Random(3)
    for _ in range(150):
        one, other = any_schedule(rng), any_schedule(rng)
        count = one.num_agreeing(other, LENGTH)
        assert all(seen_from(one, at) == seen_from(other, at) for at in range(count))
        if count < LENGTH:
            ours, theirs = one.at(count), other.at(count)
            assert (ours.window, ours.sinks) != (theirs.window, theirs.sinks)
        assert one.num_agreeing(one, LENGTH) == LENGTH


def test_a_chunk_ends_where_a_window_changes_or_begins_to_slide() -> None:
    schedule = WindowSchedule.of([WindowChange(0, 8, 4), WindowChange(20, None, 0)], SIZE)
    limits = [schedule.chunk_limit(length, 100) for length in (0, 9, 12, 19, 20)]
    assert limits == [12, 3, 8, 1, 100]


def test_equal_neighbors_are_one_part_and_sinks_are_whole_blocks() -> None:
    changes = [WindowChange(0, 9, 1), WindowChange(5, 9, 4), WindowChange(7, 3, 0)]
    schedule = WindowSchedule.of([*changes, WindowChange(7, None, 2)], SIZE)
    assert schedule.parts == (
        WindowPart(0, VisibleSet(9, 4)),
        WindowPart(7, VisibleSet()),
    )
    with pytest.raises(InvalidArgument):
        WindowSchedule.of([WindowChange(0, 0, 0)], SIZE)


def test_a_session_that_was_once_long_stays_rotated_for_that() -> None:
    schedule = WindowSchedule.of([WindowChange(0, None, 0), WindowChange(50, 8, 0)], SIZE)
    lengths = [schedule.rotated_length(count) for count in (1, 40, 50, 51, 90)]
    assert lengths == [1, 40, 50, 50, 50]


def test_a_layer_with_a_window_of_its_own_sees_the_smaller_one_in_every_part() -> None:
    schedule = WindowSchedule.of([WindowChange(0, 8, 4), WindowChange(30, 40, 4)], SIZE)
    assert [each.visible for each in schedule.within(20).parts] == [
        VisibleSet(8, 4),
        VisibleSet(20),
    ]
