"""A window changes during a chat: what was read stays read, and no word depends on the cache."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kvchat.errors import ReplyFailed
from kvchat.runtime import ChatRuntime
from kvchat.session.session import Session
from kvchat.store.rows import SessionRow
from tests.session.session_kit import GREEDY, nodes, say, texts

MakeRuntime = Callable[..., ChatRuntime]
TEXT = "many words, so that there is more than one block of them: " * 4


def cached(session: Session, text: str) -> tuple[str, int]:
    """Say something; return the answer, and how many tokens before it were computed again."""
    num_before = session.stats().num_tokens
    reply = session.send(text, GREEDY).wait(60)
    return reply.text, num_before - reply.num_cached_tokens


def test_a_smaller_window_reads_nothing_again_and_gives_blocks_back_at_once(
    make_runtime: MakeRuntime,
) -> None:
    runtime = make_runtime(save=False, block_size=8)
    session = runtime.new_session(window=None)
    say(session, TEXT)
    before = session.resume_cost().num_resident_tokens
    num_used = runtime.stats().memory.private_bytes
    plan = session.set_window(16, 0)
    assert plan.num_prefill_tokens == 1 and before + 1 == session.stats().num_tokens
    assert runtime.stats().memory.private_bytes < num_used / 2
    assert cached(session, "go on")[1] == 1


def test_a_larger_window_sees_again_what_the_pool_still_has(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime(save=False, block_size=8)
    session = runtime.new_session(window=16, sinks=0)
    say(session, TEXT)
    assert session.set_window(None).num_prefill_tokens == 1
    assert cached(session, "go on")[1] == 1


def test_what_a_larger_window_sees_again_and_is_gone_is_read_again_as_it_was(
    make_runtime: MakeRuntime,
) -> None:
    answers = []
    for is_evicted in (False, True):
        runtime = make_runtime(save=False, block_size=8)
        session = runtime.new_session(window=16, sinks=0)
        say(session, TEXT)
        num_tokens = session.stats().num_tokens
        if is_evicted:
            runtime.host.release(session.id)
            runtime._engine.call(
                lambda engine: [pool.drop_cached() for pool in engine.cache.pools]
            ).result()
        plan = session.set_window(None)
        assert plan.num_prefill_tokens == (num_tokens if is_evicted else 1)
        answers.append([say(session, "go on"), say(session, "and on")])
    assert answers[0] == answers[1]


@pytest.mark.parametrize("windows", [(None, 16), (16, None), (16, 40), (40, 16)])
def test_after_a_restart_each_part_is_read_under_the_window_of_then(
    make_runtime: MakeRuntime, tmp_path: Path, windows: tuple[int | None, int | None]
) -> None:
    first, second = windows
    runtime = make_runtime(block_size=8)
    session = runtime.new_session(window=first)
    say(session, TEXT)
    session.set_window(second)
    say(session, "one")
    session.save()
    before = texts(session)
    runtime.close()
    # With keys and values from disk, and from the text alone.
    warm = make_runtime(block_size=8)
    again = warm.open_session(session.id)
    assert again.resume_cost().num_prefill_tokens <= 1
    fork = again.fork()
    words = say(again, "two")
    warm.close()
    for file in (tmp_path / "data").glob("**/*.safetensors"):
        file.unlink()
    cold = make_runtime(block_size=8)
    other = cold.open_session(fork.id)
    assert texts(other) == before
    assert other.resume_cost().num_prefill_tokens > 50
    assert say(other, "two") == words


def test_a_fork_at_a_message_before_the_change_goes_on_under_the_window_of_its_origin(
    make_runtime: MakeRuntime,
) -> None:
    runtime = make_runtime(save=False, block_size=8)
    session = runtime.new_session(window=None)
    say(session, TEXT)
    early = session.messages[-1].id
    session.set_window(16, 0)
    say(session, "one")
    fork = session.fork(at=early)
    assert fork.window == 16
    words, num_again = cached(fork, "one")
    assert words == session.messages[-1].text and num_again <= 1 + 8
    assert [node.window for node in nodes(fork)] == [None, None, 16, 16]


def test_going_back_and_forth_over_a_change_keeps_what_was_said(runtime: ChatRuntime) -> None:
    session = runtime.new_session(window=None)
    say(session, TEXT)
    session.set_window(16, 0)
    words = say(session, "one")
    session.set_window(40, 0)
    session.rewind(turns=1)
    assert session.window == 40
    say(session, "one")
    assert [node.window for node in nodes(session)] == [None, None, 40, 40]
    session.undo()
    session.undo()
    assert session.messages[-1].text == words
    assert [node.window for node in nodes(session)] == [None, None, 16, 16]


@pytest.mark.parametrize("is_retried", [True, False])
def test_a_message_that_was_refused_is_read_under_the_window_set_since(
    make_runtime: MakeRuntime, is_retried: bool
) -> None:
    runtime = make_runtime(save=False)
    session = runtime.new_session(window=None)
    say(session, "one")
    with pytest.raises(ReplyFailed, match=r"/window 1024"):
        session.send("word " * 600, GREEDY).wait(60)
    session.set_window(100)
    reply = session.regenerate(GREEDY) if is_retried else session.send("so?", GREEDY)
    assert reply.wait(60).finish_reason == "length"
    windows = [node.window for node in nodes(session)]
    assert windows[:2] == [None, None] and set(windows[2:]) == {100}


def test_what_a_chat_was_read_under_is_exported_and_comes_back(
    make_runtime: MakeRuntime,
) -> None:
    runtime = make_runtime(save=False, block_size=8)
    session = runtime.new_session(window=None)
    say(session, TEXT)
    session.set_window(16, 0)
    say(session, "one")
    session.resume_cost()  # the engine is done with the reply, so all of it goes to the store
    twin = runtime.import_session(session.export("json"))
    assert [node.window for node in nodes(twin)] == [None, None, 16, 16]
    assert say(twin, "two") == say(session, "two")


def test_a_chat_of_an_older_file_is_read_under_the_window_of_its_session(
    make_runtime: MakeRuntime,
) -> None:
    runtime = make_runtime(save=False, block_size=8)
    session = runtime.new_session(window=16)
    say(session, TEXT)
    session.resume_cost()  # the engine is done with the reply, so all of it goes to the store
    head, messages = session.export("json").split('"messages"')
    text = head + '"messages"' + re.sub(r', "window": 16, "sinks": -1', "", messages)
    assert text.count('"window": 16') == 1
    twin = runtime.import_session(text)
    assert {node.sinks for node in nodes(twin)} == {None}
    assert say(twin, "two") == say(session, "two")
    assert [node.window for node in nodes(twin)] == [16] * 4


def test_a_window_set_before_anything_was_said_costs_nothing(runtime: ChatRuntime) -> None:
    session = runtime.new_session(window=None)
    plan = session.set_window(16)
    assert (plan.num_tokens, plan.num_prefill_tokens) == (0, 0)
    assert isinstance(session._row, SessionRow) and session.window == 16


@pytest.mark.parametrize("is_saved_before", [True, False])
@pytest.mark.parametrize("window", [16, None])
def test_a_change_after_a_restart_still_finds_the_open_block_on_disk(
    make_runtime: MakeRuntime, window: int | None, is_saved_before: bool
) -> None:
    runtime = make_runtime(block_size=32)
    session = runtime.new_session(window=40, sinks=0)
    say(session, TEXT)
    if is_saved_before:
        session.save()
    session.set_window(window)
    session.save()
    num_tokens = session.stats().num_tokens
    runtime.close()
    again = make_runtime(block_size=32).open_session(session.id)
    assert num_tokens % 32 > 1
    assert again.resume_cost().num_prefill_tokens == 1
    assert again.set_window(24, 0).num_prefill_tokens == 1
