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
