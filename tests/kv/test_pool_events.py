"""PoolEvents: what a panel is told about blocks."""

from kvchat.kv.pool_events import NUM_EVENTS, PoolEvents


def test_numbers_go_on_counting_when_old_events_fall_out() -> None:
    events = PoolEvents()
    for _ in range(NUM_EVENTS + 3):
        events.add("hit", "A found 4 tokens", 1)
    assert [event.number for event in events.latest()] == list(range(4, NUM_EVENTS + 4))


def test_evictions_are_told_once_with_their_number() -> None:
    events = PoolEvents()
    for block in (5, 2, 9):
        events.count_eviction(block)
    events.tell_evictions()
    events.tell_evictions()
    assert [(event.kind, event.num_blocks) for event in events.latest()] == [("evict", 3)]


def test_forgotten_evictions_are_not_told() -> None:
    events = PoolEvents()
    events.count_eviction(1)
    events.forget_evictions()
    events.tell_evictions()
    assert events.latest() == ()


def test_blocks_are_pointed_at_for_a_second_in_their_layer_group() -> None:
    now = [10.0]
    events = PoolEvents(clock=lambda: now[0])
    events.mark("copied", 0, (3, 4))
    events.count_eviction(7, group_index=1)
    now[0] = 10.9
    assert events.marked("copied", 0) == (3, 4)
    assert events.marked("copied", 1) == events.marked("evicted", 0) == ()
    assert events.marked("evicted", 1) == (7,)
    now[0] = 11.1
    assert events.marked("copied", 0) == events.marked("evicted", 1) == ()


def test_blocks_are_counted_by_kind_for_ever() -> None:
    events = PoolEvents()
    for _ in range(NUM_EVENTS + 1):
        events.add("hit", "A found 4 tokens", 2)
    assert events.num_blocks_by_kind() == (("hit", 2 * NUM_EVENTS + 2),)


def test_what_is_only_tried_adds_no_event() -> None:
    events = PoolEvents()
    with events.paused():
        events.add("fork", "a trial", 1)
    events.add("fork", "B goes on", 1)
    assert [event.text for event in events.latest()] == ["B goes on"]
    assert events.num_blocks_by_kind() == (("fork", 1),)
