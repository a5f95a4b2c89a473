"""Fork at a token, plans, system prompts: the same words, and nothing computed twice."""

from collections.abc import Callable
from typing import Any

import pytest

from kvchat.errors import InvalidArgument
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from tests.session.session_kit import GREEDY, LONG, drawn, ids, nodes, say, texts

MakeRuntime = Callable[..., ChatRuntime]


@pytest.mark.parametrize("place", [0, 1, 5, 8])
def test_a_fork_with_another_token_computes_that_token_alone(
    runtime: ChatRuntime, place: int
) -> None:
    session = runtime.new_session()
    say(session, "one two three", drawn(1))
    prompt, old = nodes(session)[0].token_ids, nodes(session)[1].token_ids
    runtime.stats()
    child = session.fork(at=len(prompt) + place, token=300)
    assert child.reply is not None and child.reply.session_id == child.id
    child.reply.wait(60)
    assert ids(child)[: len(prompt) + place + 1] == [*prompt, *old[:place], 300]
    num_computed = child.reply.num_prompt_tokens - child.reply.num_cached_tokens
    # The last token of the parent was drawn, and never computed.
    assert num_computed == (2 if place == len(old) else 1)
    assert ids(session) == prompt + old


def test_a_fork_with_a_token_says_what_regenerating_with_it_says(runtime: ChatRuntime) -> None:
    session = runtime.new_session(sampling=drawn(4))
    say(session, "one two three", drawn(1))
    position = len(nodes(session)[0].token_ids) + 3
    child = session.fork(at=position, token=300)
    assert child.reply is not None
    child.reply.wait(60)
    session.regenerate(drawn(4), keep_tokens=3, token=300).wait(60)
    assert ids(child) == ids(session)


def test_a_fork_with_a_token_while_its_parent_streams(runtime: ChatRuntime) -> None:
    session = runtime.new_session(sampling=GREEDY)
    reply = session.send("talk", LONG)
    iterator = iter(reply)
    next(iterator)
    child = session.fork(token=300)
    assert child.reply is not None
    child.reply.wait(60)
    reply.cancel()
    reply.wait(60)
    kept = ids(child)[: ids(child).index(300)]
    assert ids(session)[: len(kept)] == kept and len(kept) > len(nodes(session)[0].token_ids)


def test_a_fork_with_a_token_inside_a_prompt_is_refused(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    with pytest.raises(InvalidArgument):
        session.fork(token=300)
    say(session, "one two three")
    wrongs: list[Callable[[], object]] = [
        lambda: session.fork(at=2, token=300),
        lambda: session.fork(at=0, token=300),
        lambda: session.fork(at=99, token=300),
        lambda: session.fork(at="nothing", token=300),
        lambda: session.fork(at=session.messages[1].id, token=9999),
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidArgument):
            wrong()
    assert len(runtime.sessions()) == 1


def test_a_fork_with_a_token_behind_a_whole_message(runtime: ChatRuntime) -> None:
    session = runtime.new_session(sampling=GREEDY)
    say(session, "one")
    child = session.fork(at=session.messages[1].id, token=300)
    assert child.reply is not None
    child.reply.wait(60)
    assert nodes(child)[1].token_ids[:7] == [*nodes(session)[1].token_ids, 300]
    say(child, "two")


def test_a_plan_tells_what_a_rewind_costs_and_changes_nothing(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one")
    say(session, "two")
    before = texts(session), runtime.stats().memory.free_bytes
    plan = session.plan_rewind(session.messages[1].id)
    # The reply's last token was computed when the next message was read.
    assert plan.num_prefill_tokens == 0 and plan.num_resident_tokens == plan.num_tokens > 0
    assert session.plan_rewind("").num_tokens == 0
    assert (texts(session), runtime.stats().memory.free_bytes) == before
    runtime.host.release(session.id)
    assert not session.undo()


def test_the_plan_of_another_branch_knows_what_it_shares(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime(save=False, block_size=8)
    session = runtime.new_session()
    say(session, "one")
    say(session, "some more words to fill more than one block")
    there = session.messages[-1].id
    session.rewind(turns=1)
    say(session, "two")
    plan = session.plan_rewind(there)
    shared = sum(message.num_tokens for message in session.messages[:2])
    assert shared <= plan.num_resident_tokens <= plan.num_tokens


def test_a_new_system_prompt_is_read_by_the_next_message_and_undone(
    make_runtime: MakeRuntime,
) -> None:
    runtime = make_runtime()
    session = runtime.new_session(system="Be kind.", window=None)
    say(session, "one")
    before = texts(session)
    plan = session.set_system("Be terse.")
    assert session.system == "Be terse." and plan.num_prefill_tokens == plan.num_tokens > 0
    reply = session.send("two", GREEDY)
    reply.wait(60)
    assert reply.notice is not None and reply.notice.startswith("The system prompt changed: ")
    assert session.messages[-1].notice == reply.notice
    fresh = runtime.new_session(system="Be terse.", window=None)
    say(fresh, "one", SamplingParams(temperature=0, max_tokens=1))
    fresh.edit(fresh.messages[1].id, before[1])
    assert say(fresh, "two") == reply.text
    runtime.close()
    again = make_runtime().sessions()[0]
    assert again.system == "Be terse." and again.messages[-1].notice == reply.notice
    assert again.undo() and again.system == "Be kind." and texts(again) == before
    reply = again.send("three", GREEDY)
    reply.wait(60)
    assert reply.notice is None


def test_answering_again_after_a_new_system_prompt_asks_again_first(runtime: ChatRuntime) -> None:
    session = runtime.new_session(system="Be kind.")
    say(session, "one")
    before = texts(session)
    session.set_system(None)
    session.regenerate(GREEDY).wait(60)
    fresh = runtime.new_session()
    assert say(fresh, "one") == texts(session)[1]
    assert session.undo() and session.undo() and texts(session) == before


def test_undo_without_anything_to_undo_lets_a_reply_go_on(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    reply = session.send("talk", GREEDY)
    assert not session.undo()
    assert reply.wait(60).text == texts(session)[1]


def test_undoing_a_regeneration_that_has_just_begun_stands_on_the_old_reply(
    make_runtime: MakeRuntime,
) -> None:
    runtime = make_runtime()
    session = runtime.new_session()
    say(session, "one")
    before = texts(session)
    for _ in range(3):
        session.regenerate(LONG)
        assert session.undo() and texts(session) == before
    runtime.close()
    assert texts(make_runtime().sessions()[0]) == before


def test_standing_on_a_prompt_whose_reply_has_just_begun_survives_a_restart(
    make_runtime: MakeRuntime,
) -> None:
    runtime = make_runtime()
    sessions = [runtime.new_session() for _ in range(4)]
    for session in sessions:
        session.send("talk", LONG)
        session.rewind(to=session.messages[0].id)
    runtime.close()
    assert [texts(session) for session in make_runtime().sessions()] == [["talk"]] * 4


def test_going_back_gives_the_blocks_behind_to_others(runtime: ChatRuntime) -> None:
    session = runtime.new_session(window=None)
    say(session, "one")
    say(session, "two")
    session.rewind(turns=1)
    num_tokens = session.stats().num_tokens
    (cost,) = runtime.stats().resume_costs
    assert cost.num_resident_tokens + cost.num_prefill_tokens == num_tokens
    session.rewind(to="")
    (cost,) = runtime.stats().resume_costs
    assert (cost.num_resident_tokens, cost.num_prefill_tokens) == (0, 0)
    memory = runtime.stats().memory
    assert memory.private_bytes == memory.shared_bytes == memory.held_bytes == 0


@pytest.mark.parametrize("wrong", [{"turns": 2}, {"turns": 0}, {"to": "nobody"}])
def test_a_rewind_that_is_refused_lets_a_reply_go_on(
    runtime: ChatRuntime, wrong: dict[str, Any]
) -> None:
    session = runtime.new_session()
    reply = session.send("talk", GREEDY)
    with pytest.raises(InvalidArgument):
        session.rewind(**wrong)
    assert reply.wait(60).state == "done"
