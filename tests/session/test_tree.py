"""The family of a session: tree, labels, visits, hiding; all moves can be undone."""

import threading
from collections.abc import Callable

import pytest

from kvchat.errors import InvalidArgument
from kvchat.runtime import ChatRuntime
from kvchat.session.message import MessageState
from tests.session.session_kit import GREEDY, LONG, drawn, say, texts

MakeRuntime = Callable[..., ChatRuntime]


def test_the_tree_has_every_branch_and_who_stands_where(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one")
    first = session.messages[1].id
    other = session.fork()
    session.regenerate(drawn(1)).wait(60)
    say(other, "two")
    tree = session.tree()
    assert tree == other.tree() and len(tree.nodes) == 5
    (root,) = tree.roots
    assert tree.nodes[root].message.text == "one"
    assert tree.nodes[root].children == session.siblings(first)
    assert tree.nodes[session.messages[-1].id].session_ids == (session.id,)
    assert tree.nodes[other.messages[-1].id].session_ids == (other.id,)
    assert len(runtime.new_session().tree().nodes) == 0


def test_a_streaming_reply_is_in_the_tree(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    reply = session.send("talk", LONG)
    tree = session.tree()
    assert tree.nodes[reply.message_id].message.state is MessageState.STREAMING
    assert tree.nodes[reply.message_id].session_ids == (session.id,)
    reply.cancel()


def test_a_label_is_seen_by_all_sessions_and_after_a_restart(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime()
    session = runtime.new_session()
    with pytest.raises(InvalidArgument, match="no message"):
        session.label("here")
    say(session, "one")
    other = session.fork()
    session.label("  good \n one ")
    assert other.messages[-1].label == "good one"
    session.label("start", session.messages[0].id)
    runtime.close()
    again = make_runtime().sessions()[0]
    assert [message.label for message in again.messages] == ["start", "good one"]
    again.label(None)
    assert [node.label for node in again.tree().nodes.values()] == ["start", None]


def test_a_visit_returns_to_where_one_was_below_a_message(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one")
    old = session.messages[1].id
    say(session, "two")
    there = texts(session)
    session.regenerate(drawn(1), message_id=old).wait(60)
    here = texts(session)
    session.visit(old)
    assert texts(session) == there
    session.visit(session.messages[0].id)
    assert texts(session) == there
    assert session.undo() and texts(session) == here


def test_a_visit_to_a_branch_never_seen_goes_to_its_newest_leaf(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one")
    other = session.fork()
    session.edit(session.messages[0].id, "uno", GREEDY).wait(60)  # type: ignore[union-attr]
    say(session, "due")
    other.visit(session.messages[0].id)
    assert texts(other) == texts(session)
    assert say(other, "tre") == say(session, "tre")


def test_a_visit_cancels_the_running_reply_and_keeps_its_text(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one")
    old = session.messages[1].id
    reply = session.regenerate(LONG)
    next(iter(reply))
    session.visit(old)
    assert reply.wait(60).state is MessageState.INTERRUPTED
    assert session.messages[-1].id == old
    session.visit(reply.message_id)
    assert texts(session)[-1] == reply.text


def test_hiding_takes_a_message_and_all_below_out_of_sight_until_undo(
    make_runtime: MakeRuntime,
) -> None:
    runtime = make_runtime()
    session = runtime.new_session()
    say(session, "one")
    say(session, "two")
    before, hidden = texts(session), session.messages[2].id
    session.hide(hidden)
    assert texts(session) == before[:2] and hidden not in session.tree().nodes
    assert len(session.tree().nodes) == 2
    runtime.close()
    again = make_runtime().sessions()[0]
    assert len(again.tree().nodes) == 2
    assert again.undo() and texts(again) == before and hidden in again.tree().nodes


def test_a_hidden_sibling_is_not_counted_and_another_session_keeps_it(
    runtime: ChatRuntime,
) -> None:
    session = runtime.new_session()
    say(session, "one")
    old = session.messages[1].id
    other = session.fork()
    session.regenerate(drawn(1)).wait(60)
    new = session.messages[1].id
    session.hide(old)
    assert session.siblings(new) == (new,) and session.messages[-1].id == new
    assert other.messages[-1].id == old and old in session.tree().nodes
    say(other, "still here")
    assert session.undo() and session.siblings(new) == (old, new)


def test_another_branch_is_hidden_while_a_reply_is_not_stored_yet(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one")
    old = session.messages[1].id
    session.regenerate(drawn(1)).wait(60)
    writing = threading.Event()
    runtime._prompts.submit(lambda: writing.wait(60))
    try:
        reply = session.send("two", GREEDY)
        session.hide(old)
        assert session.messages[-1].id == reply.message_id
    finally:
        writing.set()
    reply.wait(60)
    assert session.siblings(session.messages[1].id) == (session.messages[1].id,)
    assert len(session.messages) == 4


def test_hiding_the_running_reply_cancels_it(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    reply = session.send("talk", LONG)
    session.hide(reply.message_id)
    assert reply.wait(60).state is MessageState.INTERRUPTED
    assert texts(session) == ["talk"] and reply.message_id not in session.tree().nodes
    session.regenerate(GREEDY).wait(60)


def test_places_of_other_chats_are_refused(runtime: ChatRuntime) -> None:
    session, other = runtime.new_session(), runtime.new_session()
    say(session, "one")
    say(other, "two")
    foreign = other.messages[0].id
    wrongs: list[Callable[[], object]] = [
        lambda: session.visit(foreign),
        lambda: session.hide(foreign),
        lambda: session.label("x", foreign),
        lambda: session.plan_rewind(foreign),
        lambda: session.show_sibling("nothing"),
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidArgument):
            wrong()
