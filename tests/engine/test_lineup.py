"""Who waits and who runs."""

import pytest

from kvchat.engine.lineup import Lineup
from kvchat.engine.sequence import Sequence, SequenceState
from kvchat.errors import SessionNotFound
from kvchat.kv.cache import SequenceId


def waiting(lineup: Lineup, *owners: str) -> list[Sequence]:
    sequences = []
    for owner in owners:
        sequence = Sequence(owner, SequenceId(len(lineup.by_owner)), arrival=lineup.tick())
        lineup.by_owner[owner] = sequence
        lineup.wait(sequence)
        sequences.append(sequence)
    return sequences


def test_a_sequence_is_in_one_list_at_a_time() -> None:
    lineup = Lineup()
    (sequence,) = waiting(lineup, "a")
    assert (lineup.waiting, lineup.running) == ([sequence], [])
    lineup.start(sequence)
    assert (lineup.waiting, lineup.running) == ([], [sequence])
    states = [sequence.state]
    lineup.preempt(sequence)
    assert (lineup.waiting, lineup.running) == ([sequence], [])
    states.append(sequence.state)
    assert lineup.is_draining
    lineup.end(sequence)
    assert lineup.with_request() == [] and not lineup.is_draining
    states.append(sequence.state)
    assert states == [SequenceState.PREFILL, SequenceState.WAITING, SequenceState.IDLE]
    assert lineup.find("a") is sequence


def test_only_those_who_came_before_are_overtaken_and_only_until_they_start() -> None:
    lineup = Lineup()
    first, second, third = waiting(lineup, "a", "b", "c")
    lineup.start(second)
    assert [each.is_overtaken for each in (first, second, third)] == [True, False, False]
    lineup.start(first)
    assert not first.is_overtaken and not third.is_overtaken


def test_a_name_that_is_not_open_is_not_found() -> None:
    with pytest.raises(SessionNotFound, match="'nobody'"):
        Lineup().find("nobody")
