"""Unload, load, close: keys and values come and go, and no word changes."""

from collections.abc import Callable

import pytest

from kvchat.errors import SessionBusy, SessionClosed, SessionNotFound
from kvchat.runtime import ChatRuntime
from kvchat.session.message import MessageState
from tests.session.session_kit import GREEDY, LONG, say, texts

MakeRuntime = Callable[..., ChatRuntime]
TEXT = "many words, so that there is more than one block of them: " * 4


def test_the_cost_of_going_on_adds_up_to_the_sessions_tokens(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime(save=False)
    session = runtime.new_session(window=None)
    assert session.resume_cost().num_prefill_tokens == 0
    say(session, TEXT)
    cost = session.resume_cost()
    # The last token was drawn, and not computed.
    assert (cost.num_disk_tokens, cost.num_prefill_tokens) == (0, 1)
    assert cost.num_resident_tokens + 1 == session.stats().num_tokens


def test_what_was_unloaded_is_not_computed_again(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime()
    session = runtime.new_session(window=None)
    say(session, TEXT)
    before = session.resume_cost()
    session.unload()
    memory = runtime.stats().memory
    assert memory.private_bytes == memory.shared_bytes == memory.held_bytes == 0
    after = session.resume_cost()
    assert after.num_prefill_tokens == before.num_prefill_tokens
    session.unload()
    twin = make_runtime(save=False).new_session(window=None)
    say(twin, TEXT)
    assert say(session, "go on") == say(twin, "go on")


@pytest.mark.parametrize("window", [None, 200])
def test_after_a_restart_it_is_known_what_is_on_disk(
    make_runtime: MakeRuntime, window: int | None
) -> None:
    runtime = make_runtime()
    session = runtime.new_session(window=window)
    say(session, TEXT)
    session.save()
    num_tokens = session.stats().num_tokens
    runtime.close()
    cost = make_runtime().sessions()[0].resume_cost()
    assert cost.num_resident_tokens == 0 and cost.num_prefill_tokens <= 1
    assert cost.num_disk_tokens + cost.num_prefill_tokens == num_tokens


@pytest.mark.parametrize("window", [None, 200])
def test_a_cold_session_is_loaded_from_disk(make_runtime: MakeRuntime, window: int | None) -> None:
    runtime = make_runtime()
    session = runtime.new_session(window=window)
    say(session, TEXT)
    session.save()
    runtime.close()
    runtime = make_runtime()
    session = runtime.sessions()[0]
    session.load()
    while (cost := session.resume_cost()).num_resident_tokens == 0:
        pass
    assert cost.num_disk_tokens == 0 and cost.num_prefill_tokens <= 1
    reply = session.send("go on", GREEDY)
    reply.wait(60)
    assert reply.num_cached_tokens >= cost.num_resident_tokens


def test_a_session_that_answers_is_not_unloaded(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    reply = session.send("talk", LONG)
    with pytest.raises(SessionBusy):
        session.unload()
    session.load()
    reply.cancel()


def test_a_closed_session_is_put_aside_until_it_is_opened(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one")
    reply = session.send("talk", LONG)
    next(iter(reply))
    before = texts(session)[:3]
    session.close()
    assert reply.wait(60).state is MessageState.INTERRUPTED
    assert runtime.sessions() == []
    with pytest.raises(SessionClosed):
        session.send("two")
    with pytest.raises(SessionClosed):
        session.close()
    again = runtime.open_session(session.id)
    assert texts(again)[:3] == before and runtime.sessions() == [again]
    assert runtime.open_session(session.id) is again
    say(again, "two")
    again.delete()
    with pytest.raises(SessionNotFound):
        runtime.open_session(session.id)


def test_a_session_that_comes_back_is_listed_where_it_was(runtime: ChatRuntime) -> None:
    first, second, third = (runtime.new_session(name) for name in ("first", "second", "third"))
    second.close()
    reopened = runtime.open_session(second.id)
    assert [each.title for each in runtime.sessions()] == ["first", "second", "third"]
    say(first, "one")
    first.delete()
    runtime.undelete(first.id)
    assert [each.title for each in runtime.sessions()] == ["first", "second", "third"]
    assert runtime.sessions()[1] is reopened and runtime.sessions()[2] is third


def test_a_closed_session_is_listed_again_after_a_restart(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime()
    session = runtime.new_session("kept")
    say(session, "one")
    before = texts(session)
    session.close()
    runtime.close()
    (again,) = make_runtime().sessions()
    assert again.title == "kept" and texts(again) == before
