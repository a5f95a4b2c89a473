"""Search, prompt history and the trash, over a runtime with a tiny model."""

from collections.abc import Callable

import pytest

from kvchat.errors import SessionNotFound
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams

MakeRuntime = Callable[..., ChatRuntime]
SHORT = SamplingParams(temperature=0, max_tokens=2)


def test_messages_of_all_sessions_are_searched(runtime: ChatRuntime) -> None:
    first, second = runtime.new_session("one"), runtime.new_session("two")
    first.send("the needle is here", SHORT).wait(60)
    second.send("a second NEEDLE, there", SHORT).wait(60)
    hits = runtime.search("needle")
    assert [(hit.session_id, hit.title, hit.role) for hit in hits] == [
        (second.id, "two", "user"), (first.id, "one", "user"),
    ]  # fmt: skip
    assert hits[0].message_id == second.messages[0].id
    assert hits[0].snippet == "a second NEEDLE, there"
    assert len(runtime.search("needle", limit=1)) == 1
    assert runtime.search("is needle") == hits[1:]
    assert runtime.search("") == runtime.search("hay") == ()


def test_a_search_goes_on_over_many_pages(
    runtime: ChatRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvchat.store.search.MESSAGES_PER_LOOK", 2)
    chat = runtime.new_session()
    for number in range(5):
        chat.send(f"word {number}", SHORT).wait(60)
    assert [hit.snippet for hit in runtime.search("word")] == [
        f"word {n}" for n in range(4, -1, -1)
    ]
    assert [hit.snippet for hit in runtime.search("word 0")] == ["word 0"]


def test_prompts_are_remembered_over_all_sessions(make_runtime: MakeRuntime) -> None:
    runtime = make_runtime()
    runtime.new_session().send("one", SHORT).wait(60)
    runtime.remember_prompt("unsent")
    runtime.remember_prompt("  ")
    runtime.new_session().send("two", SHORT).wait(60)
    runtime.close()
    again = make_runtime()
    assert again.recent_prompts() == ("one", "unsent", "two")
    assert again.recent_prompts(1) == ("two",)


def test_a_deleted_session_comes_back_and_goes_on(runtime: ChatRuntime) -> None:
    chat = runtime.new_session("kept")
    chat.send("hello", SHORT).wait(60)
    chat.delete()
    assert runtime.sessions() == []
    assert runtime.search("hello") == ()
    (deleted,) = runtime.deleted_sessions()
    assert (deleted.id, deleted.title, deleted.num_messages) == (chat.id, "kept", 2)
    back = runtime.undelete(chat.id)
    assert runtime.sessions() == [back]
    assert runtime.undelete(chat.id) is back
    assert (back.tag, back.messages) == (chat.tag, chat.messages)
    assert back.send("again", SHORT).wait(60).num_tokens > 0
    assert runtime.deleted_sessions() == ()
    with pytest.raises(SessionNotFound):
        runtime.undelete("nobody")


def test_a_purge_erases_what_was_deleted_and_nothing_else(runtime: ChatRuntime) -> None:
    kept, gone = runtime.new_session(), runtime.new_session()
    kept.send("kept words", SHORT).wait(60)
    fork = kept.fork()
    fork.send("words of the fork", SHORT).wait(60)
    gone.send("gone words", SHORT).wait(60)
    fork.delete()
    gone.delete()
    assert runtime.purge() == 2
    assert runtime.deleted_sessions() == ()
    assert [hit.snippet for hit in runtime.search("words")] == ["kept words"]
    assert runtime.recent_prompts() == ("kept words",)
    assert kept.send("more", SHORT).wait(60).num_tokens > 0
    assert runtime.purge() == 0
