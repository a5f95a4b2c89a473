"""Drafts and prompts that wait in line, over a runtime with a tiny model."""

from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from kvchat import errors
from kvchat.errors import InvalidArgument, NotSaving, ReplyFailed
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.session.session import Session
from kvchat.store.database import Database

MakeRuntime = Callable[..., ChatRuntime]
SHORT = SamplingParams(temperature=0, max_tokens=4)
LONG = SamplingParams(temperature=0, max_tokens=200)


def said(session: Session) -> list[str]:
    return [message.text for message in session.messages if message.role == "user"]


def until_idle(session: Session) -> None:
    """Wait for the reply, and for those of prompts that follow it."""
    while True:
        reply = session.reply
        assert reply is not None
        reply.wait(60)
        # The engine has said all about that reply when it answers, and jobs of the prompts thread
        # run in order: what sends the next prompt is before this one.
        session._host._engine.call(lambda engine: None).result(60)
        session._host._prompts.submit(lambda: None).result(60)
        if session.reply is reply:
            return


def test_a_draft_is_there_after_a_restart_and_gone_when_it_was_sent(
    make_runtime: MakeRuntime,
) -> None:
    runtime = make_runtime()
    chat, other = runtime.new_session(), runtime.new_session()
    chat.set_draft("to be sent")
    other.set_draft("to be \ud83d kept")
    chat.send("to be sent", SHORT).wait(60)
    assert [chat.draft, other.draft] == ["", "to be � kept"]
    runtime.close()
    again = make_runtime().sessions()
    assert [session.draft for session in again] == ["", "to be � kept"]


def test_a_prompt_is_sent_at_once_where_nothing_runs(runtime: ChatRuntime) -> None:
    chat = runtime.new_session(sampling=SHORT)
    reply = chat.enqueue("hello")
    assert reply is not None
    reply.wait(60)
    assert chat.waiting == ()
    with pytest.raises(InvalidArgument):
        chat.enqueue("  ")


def test_waiting_prompts_are_sent_in_order_when_the_reply_has_ended(runtime: ChatRuntime) -> None:
    chat = runtime.new_session(sampling=SHORT)
    chat.send("first", SHORT)  # runs at least until the model is loaded
    assert chat.enqueue("second") is None
    assert chat.enqueue("third") is None
    assert chat.waiting == ("second", "third")
    until_idle(chat)
    assert said(chat) == ["first", "second", "third"]
    assert not chat.waiting
    assert runtime.recent_prompts() == ("first", "second", "third")


def test_the_last_waiting_prompt_can_be_taken_back(runtime: ChatRuntime) -> None:
    chat = runtime.new_session(sampling=SHORT)
    chat.send("first", SHORT)
    chat.enqueue("second")
    chat.enqueue("third")
    assert chat.unqueue() == "third"
    until_idle(chat)
    assert said(chat) == ["first", "second"]
    assert chat.unqueue() is None


def test_stopping_gives_waiting_prompts_back_to_the_draft(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime()
    chat = runtime.new_session(sampling=LONG)
    reply = chat.send("first")
    chat.enqueue("second")
    chat.set_draft("typed")
    chat.stop()
    reply.wait(60)
    until_idle(chat)
    assert said(chat) == ["first"]
    assert (chat.waiting, chat.draft) == ((), "second\n\ntyped")
    runtime.close()
    assert make_runtime().sessions()[0].draft == "second\n\ntyped"


def test_a_prompt_that_was_given_back_is_remembered_when_another_is_sent(
    runtime: ChatRuntime,
) -> None:
    chat = runtime.new_session(sampling=LONG)
    reply = chat.send("first")
    chat.enqueue("second")
    chat.enqueue("third")
    chat.stop()
    reply.wait(60)
    chat.send("other", SHORT).wait(60)
    assert chat.draft == ""
    assert set(runtime.recent_prompts()) == {"first", "second", "third", "other"}


def test_a_purge_forgets_prompts_that_were_never_sent(runtime: ChatRuntime) -> None:
    kept, chat = runtime.new_session(), runtime.new_session(sampling=LONG)
    kept.send("kept", SHORT).wait(60)
    chat.send("first")
    chat.enqueue("second")
    chat.delete()
    assert "second" in runtime.recent_prompts()
    runtime.purge()
    assert runtime.recent_prompts() == ("kept",)


def test_rewinding_gives_waiting_prompts_back_to_the_draft(runtime: ChatRuntime) -> None:
    chat = runtime.new_session(sampling=LONG)
    chat.send("first")
    chat.enqueue("second")
    chat.rewind(turns=1)
    assert (chat.waiting, chat.draft) == ((), "second")
    assert chat.messages == ()


def test_prompts_that_wait_when_the_runtime_is_closed_are_in_the_draft_then(
    make_runtime: MakeRuntime, tmp_path: Path
) -> None:
    runtime = make_runtime()
    chat = runtime.new_session(sampling=LONG)
    chat.send("first")
    chat.enqueue("second")
    runtime.close()
    again = make_runtime().sessions()[0]
    assert said(again) == ["first"]
    assert (again.draft, again.waiting) == ("second", ())


def test_a_waiting_prompt_that_cannot_be_stored_is_given_back(runtime: ChatRuntime) -> None:
    chat = runtime.new_session(sampling=SHORT)
    chat.send("first", SHORT)
    chat.enqueue("second")
    reply = chat.reply
    assert reply is not None

    def refuse(point: str) -> None:
        if point == "db.commit" and reply.is_finished:
            raise OSError(28, "No space left on device")

    errors.fault_hook = refuse
    try:
        until_idle(chat)
    finally:
        errors.fault_hook = None
    assert said(chat) == ["first"]
    assert (chat.waiting, chat.draft) == ((), "second")
    assert chat.error is not None


def test_a_prompt_that_cannot_be_stored_does_not_wait(runtime: ChatRuntime) -> None:
    chat = runtime.new_session(sampling=LONG)
    chat.send("first")

    def refuse(point: str) -> None:
        raise OSError(28, "No space left on device")

    errors.fault_hook = refuse
    try:
        with pytest.raises(NotSaving):
            chat.enqueue("second")
    finally:
        errors.fault_hook = None
    assert chat.waiting == ()
    chat.stop()


def test_a_reply_whose_row_cannot_be_stored_is_not_computed(runtime: ChatRuntime) -> None:
    chat = runtime.new_session(sampling=LONG)
    num_commits = 0

    def refuse_the_second(point: str) -> None:
        nonlocal num_commits
        if point == "db.commit":
            num_commits += 1
            if num_commits > 2:  # the message and its title are stored
                raise OSError(28, "No space left on device")

    runtime.host.save(lambda database: None).result(60)
    errors.fault_hook = refuse_the_second
    try:
        with pytest.raises(ReplyFailed) as caught:
            chat.send("hello").wait(60)
    finally:
        errors.fault_hook = None
    assert isinstance(caught.value.__cause__, NotSaving)
    assert said(chat) == ["hello"]
    assert chat.regenerate(SHORT).wait(60).num_tokens > 0


def test_after_a_failure_waiting_prompts_are_given_back(
    runtime: ChatRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_reply = Database.begin_reply
    calls: list[object] = []

    def fail_once(self: Database, *values: object, **options: object) -> None:
        calls.append(self)
        if len(calls) == 1:
            raise NotSaving("Disk full.")
        begin_reply(self, *values, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Database, "begin_reply", fail_once)
    gate = Event()
    runtime.host._prompts.submit(gate.wait)
    chat = runtime.new_session(sampling=SHORT)
    reply = chat.send("first")
    assert chat.enqueue("second") is None
    gate.set()
    with pytest.raises(ReplyFailed):
        reply.wait(60)
    chat._host._engine.call(lambda engine: None).result(60)
    runtime.host.save(lambda database: None).result(60)
    chat._host._prompts.submit(lambda: None).result(60)
    assert said(chat) == ["first"]
    assert not chat.waiting
    assert chat.draft == "second"
