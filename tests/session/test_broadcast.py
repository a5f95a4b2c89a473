"""One prompt to many: fresh forks, and sibling answers below one message."""

from collections.abc import Callable

import pytest

from kvchat.errors import InvalidArgument, SessionBusy
from kvchat.runtime import ChatRuntime
from tests.session.session_kit import GREEDY, LONG, drawn, say, texts


def test_forks_get_the_prompt_each_and_seeds_of_their_own(runtime: ChatRuntime) -> None:
    chat = runtime.new_session()
    say(chat, "one")
    before = texts(chat)
    replies = runtime.broadcast(chat, "two", drawn(10), forks=4)
    words = [reply.wait(60).text for reply in replies]
    assert [reply.seed for reply in replies] == [10, 11, 12, 13]
    forks = [runtime.open_session(reply.session_id) for reply in replies]
    assert [texts(fork) for fork in forks] == [[*before, "two", word] for word in words]
    assert texts(chat) == before and {fork.origin for fork in forks} == {chat.id}
    alone = chat.fork()
    assert say(alone, "two", drawn(12)) == words[2]


def test_answers_to_one_question_are_siblings_in_forks(runtime: ChatRuntime) -> None:
    chat = runtime.new_session()
    say(chat, "one")
    before = texts(chat)
    replies = runtime.ask(chat, "two", 3, drawn(20))
    words = [reply.wait(60).text for reply in replies]
    ids = tuple(reply.message_id for reply in replies)
    assert chat.siblings(ids[0]) == ids and texts(chat) == before
    tree = chat.tree()
    question = tree.nodes[ids[0]].message.parent_id
    assert question is not None and tree.nodes[question].children == ids
    chat.visit(ids[1])
    assert texts(chat) == [*before, "two", words[1]]
    assert say(chat.fork(), "three") == say(runtime.open_session(replies[1].session_id), "three")


def test_one_session_or_several_are_answered_in_place(runtime: ChatRuntime) -> None:
    first, second = runtime.new_session(), runtime.new_session()
    (alone,) = runtime.broadcast(first, "hello", GREEDY)
    (together,) = runtime.broadcast([second], "hello", GREEDY)
    assert alone.wait(60).text == together.wait(60).text
    assert alone.session_id == first.id


def test_nothing_is_sent_or_forked_when_one_cannot_take_it(runtime: ChatRuntime) -> None:
    idle, busy = runtime.new_session(), runtime.new_session()
    reply = busy.send("talk", LONG)
    wrongs: list[tuple[Callable[[], object], type[Exception]]] = [
        (lambda: runtime.broadcast([idle, busy], "x"), SessionBusy),
        (lambda: runtime.broadcast(busy, "x", forks=2), SessionBusy),
        (lambda: runtime.ask(busy, "x", 2), SessionBusy),
        (lambda: runtime.ask(idle, " ", 2), InvalidArgument),
        (lambda: runtime.ask(idle, "x", 0), InvalidArgument),
        (lambda: runtime.broadcast([idle, busy], "x", forks=2), InvalidArgument),
        (lambda: runtime.broadcast(idle, "x", forks=10_000), InvalidArgument),
        (lambda: runtime.broadcast([idle, idle], "x"), InvalidArgument),
    ]
    for wrong, error in wrongs:
        with pytest.raises(error):
            wrong()
    reply.cancel()
    assert len(runtime.sessions()) == 2 and texts(idle) == []


def test_forks_of_a_new_session_are_named_by_what_is_said(runtime: ChatRuntime) -> None:
    new = runtime.new_session()
    assert new.fork().title == new.title == "New chat"
    replies = [*runtime.broadcast(new, "Why  not?", GREEDY, forks=2), *runtime.ask(new, "Eh?", 1)]
    titles = [runtime.open_session(reply.session_id).title for reply in replies]
    assert titles == ["Why not? 1", "Why not? 2", "Eh? 1"]


def test_a_reply_that_runs_in_another_session_can_be_watched_but_not_answered(
    runtime: ChatRuntime,
) -> None:
    chat = runtime.new_session()
    reply, other = runtime.ask(chat, "talk", 2, LONG)
    next(iter(reply))
    chat.visit(reply.message_id)
    assert chat.messages[-1].id == reply.message_id
    with pytest.raises(SessionBusy, match="another session"):
        chat.send("and?")
    fork = chat.fork()
    say(fork, "and?")
    reply.cancel()
    other.cancel()
    reply.wait(60)
    assert texts(chat) == ["talk", reply.text]
    say(chat, "and?")
