"""Edit, regenerate with kept tokens, continue: words and ids, and what is computed for them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kvchat.engine.request import TokenEvent
from kvchat.errors import InvalidArgument, SessionBusy
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.session.message import MessageState
from kvchat.session.reply import Reply
from kvchat.session.talking import title_of
from kvchat.store.rows import ReplyEnd
from kvchat.store.store_thread import StoreThread
from tests.session.session_kit import GREEDY, LONG, drawn, ids, nodes, say, texts

MakeRuntime = Callable[..., ChatRuntime]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("notes.txt\n```\nfirst line\n```\n", "notes.txt"),
        ("What is wrong here?\n\na.py\n````\n```\nx\n```\n````\n", "What is wrong here? a.py"),
        ("```python\nprint(1)\n```\nexplain this", "explain this"),
        ("~~~\n  print(1)\nx = 2\n~~~\n", "print(1) x = 2"),
        ("```\nnever closed", "never closed"),
        ("```one line``` is code", "```one line``` is code"),
        ("```\n```", "``` ```"),
        ("word " * 20, "word word word word word word word word word…"),
    ],
)
def test_a_chat_is_titled_by_words_and_not_by_what_is_fenced(text: str, title: str) -> None:
    assert title_of(text) == title


def test_an_edited_question_is_answered_beside_the_old_one(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one")
    say(session, "two")
    before = texts(session)
    reply = session.edit(session.messages[2].id, "three", GREEDY)
    assert reply is not None
    reply.wait(60)
    fresh = runtime.new_session()
    say(fresh, "one")
    assert reply.text == say(fresh, "three")
    assert texts(session) == [*before[:2], "three", reply.text]
    assert session.undo() and texts(session) == before


def test_an_edited_first_question_starts_another_root(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one")
    reply = session.edit(session.messages[0].id, "other", GREEDY)
    assert reply is not None and reply.wait(60)
    assert session.messages[0].parent_id is None
    assert len(session.siblings(session.messages[0].id)) == 2


def test_an_edited_reply_is_what_the_model_goes_on_from(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one")
    old = session.messages[1]
    assert session.edit(old.id, "My own words") is None
    edited = session.messages[1]
    assert edited.is_edited and edited.text == "My own words" and not old.is_edited
    assert session.siblings(old.id) == (old.id, edited.id)
    reply = session.continue_reply(GREEDY)
    assert reply.wait(60).text.startswith("My own words")
    assert session.messages[1].id == reply.message_id and not session.messages[1].is_edited
    say(session, "two")
    assert session.undo() and session.messages[1].is_edited
    assert session.undo() and session.messages[1].id == old.id
    assert not session.undo()


def test_an_edited_reply_gets_the_ids_it_would_have_in_a_prompt(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one")
    session.edit(session.messages[1].id, "Plain words <|end|> here")
    say(session, "two")
    voice = session._host._prompts.voice()
    written = nodes(session)[1].token_ids
    assert written and voice.writer.tokenizer.decode(written) == "Plain words <|end|> here"
    assert not set(written) & set(voice.writer.tokenizer.control_ids)
    reply = session.regenerate(GREEDY)
    reply.wait(60)
    assert reply.num_prompt_tokens - reply.num_cached_tokens == 1


def test_editing_cancels_the_running_reply_and_keeps_its_text(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    running = session.send("talk", LONG)
    next(iter(running))
    reply = session.edit(session.messages[0].id, "talk less", GREEDY)
    assert reply is not None and reply.wait(60).state is MessageState.DONE
    assert running.wait(60).state is MessageState.INTERRUPTED
    assert texts(session) == ["talk less", reply.text]
    assert session.undo() and texts(session) == ["talk", running.text]


def test_a_message_of_another_chat_cannot_be_edited(runtime: ChatRuntime) -> None:
    session, other = runtime.new_session(), runtime.new_session()
    say(session, "one")
    say(other, "two")
    wrongs: list[Callable[[], object]] = [
        lambda: session.edit(other.messages[0].id, "x"),
        lambda: session.edit("nothing", "x"),
        lambda: session.edit(session.messages[0].id, "  "),
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidArgument):
            wrong()
    assert len(session.messages) == 2


@pytest.mark.parametrize("keep_tokens", [0, 1, 5, 8])
def test_kept_tokens_stay_and_only_what_follows_is_computed(
    runtime: ChatRuntime, keep_tokens: int
) -> None:
    session = runtime.new_session()
    say(session, "one two three", drawn(1))
    old = nodes(session)[1].token_ids
    reply = session.regenerate(drawn(2), keep_tokens=keep_tokens)
    reply.wait(60)
    new = nodes(session)[1].token_ids
    assert new[:keep_tokens] == old[:keep_tokens]
    assert len(new) == keep_tokens + 8 and reply.num_generated_tokens == 8
    assert reply.num_prompt_tokens - reply.num_cached_tokens == 1
    assert session.messages[1].text == reply.text == session._host.decode(new)


def test_a_token_is_forced_behind_the_kept_ones(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one two three", drawn(1))
    old = nodes(session)[1].token_ids
    reply = session.regenerate(drawn(2), keep_tokens=4, token=300)
    reply.wait(60)
    assert nodes(session)[1].token_ids[:5] == [*old[:4], 300]
    assert reply.num_prompt_tokens - reply.num_cached_tokens == 1


def test_forced_words_are_those_of_a_fresh_run_that_is_forced_the_same(
    runtime: ChatRuntime, make_runtime: MakeRuntime
) -> None:
    session = runtime.new_session()
    say(session, "one two three", drawn(1))
    session.regenerate(drawn(2), keep_tokens=4, token=300).wait(60)
    runtime.host.release(session.id)
    uncached = make_runtime(save=False, block_size=8)
    fresh = uncached.new_session()
    say(fresh, "one two three", drawn(1))
    uncached.host.release(fresh.id)
    fresh.regenerate(drawn(2), keep_tokens=4, token=300).wait(60)
    assert ids(session) == ids(fresh) and texts(session) == texts(fresh)


def test_a_kept_prefix_draws_the_words_that_a_whole_run_draws(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    whole = say(session, "one two three", drawn(7, max_tokens=12))
    session.regenerate(drawn(7, max_tokens=7), keep_tokens=5).wait(60)
    assert texts(session)[1] == whole


def test_a_stopped_reply_is_continued_where_it_was_cut(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "count", drawn(3, max_tokens=5))
    reply = session.continue_reply(drawn(3, max_tokens=6))
    reply.wait(60)
    assert reply.num_prompt_tokens - reply.num_cached_tokens == 1
    other = runtime.new_session()
    assert say(other, "count", drawn(3, max_tokens=11)) == reply.text
    assert session.undo() and len(nodes(session)[1].token_ids) == 5


def test_a_cut_inside_a_character_gives_the_whole_character_when_it_goes_on(
    runtime: ChatRuntime,
) -> None:
    session = runtime.new_session()
    say(session, "one")
    tokenizer = session._host._prompts.voice().writer.tokenizer
    euro = [tokenizer.token_bytes_table.index(bytes([byte])) for byte in "€".encode()]
    reply = session.regenerate(GREEDY, token=euro[0])
    reply.wait(60)
    for number, token in enumerate(euro[1:], 1):
        reply = session.regenerate(GREEDY, keep_tokens=number, token=token)
        reply.wait(60)
    assert reply.text.startswith("€") and nodes(session)[1].token_ids[:3] == euro
    assert session.messages[1].text == reply.text
    say(session, "and then?")


def test_a_forced_stop_token_ends_the_reply_at_once(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one", drawn(1))
    (stop, *_) = session._host._prompts.voice().stop_ids
    reply = session.regenerate(keep_tokens=3, token=stop)
    message = reply.wait(60)
    assert reply.finish_reason == "stop" and reply.num_generated_tokens == 0
    assert message.text == session._host.decode(nodes(session)[1].token_ids[:3])
    with pytest.raises(InvalidArgument, match="by itself"):
        session.continue_reply()
    with pytest.raises(InvalidArgument, match="by itself"):
        session.regenerate(keep_tokens=4)
    say(session, "go on")


def test_a_stop_string_made_by_a_forced_token_ends_the_reply(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    say(session, "one", drawn(1))
    tokenizer = session._host._prompts.voice().writer.tokenizer
    bang = tokenizer.token_bytes_table.index(b"!")
    reply = session.regenerate(
        SamplingParams(temperature=0, stop=("!",)), keep_tokens=2, token=bang
    )
    assert "!" not in reply.wait(60).text
    assert reply.finish_reason == "stop" and reply.num_generated_tokens == 0


def test_regenerating_an_earlier_reply_leaves_what_came_after_on_its_branch(
    runtime: ChatRuntime,
) -> None:
    session = runtime.new_session()
    say(session, "one")
    say(session, "two")
    before = texts(session)
    session.regenerate(drawn(5), message_id=session.messages[1].id).wait(60)
    assert texts(session)[0] == "one" and len(session.messages) == 2
    assert session.undo() and texts(session) == before


def test_tokens_that_are_not_there_are_refused(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    with pytest.raises(InvalidArgument, match="no reply"):
        session.continue_reply()
    say(session, "one")
    wrongs: list[Callable[[], object]] = [
        lambda: session.regenerate(keep_tokens=7),
        lambda: session.regenerate(keep_tokens=-1),
        lambda: session.regenerate(token=4096),
        lambda: session.regenerate(token=-1),
        lambda: session.regenerate(message_id=session.messages[0].id, keep_tokens=1),
        lambda: session.regenerate(message_id="nothing"),
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidArgument):
            wrong()
    assert len(session.messages) == 2


def test_regenerating_while_a_reply_runs_is_refused(runtime: ChatRuntime) -> None:
    session = runtime.new_session()
    reply = session.send("talk", LONG)
    with pytest.raises(SessionBusy):
        session.regenerate()
    with pytest.raises(SessionBusy):
        session.continue_reply()
    reply.cancel()


def test_edits_and_kept_tokens_survive_a_restart(make_runtime: MakeRuntime, tmp_path: Path) -> None:
    runtime = make_runtime()
    session = runtime.new_session()
    say(session, "one", drawn(1))
    session.regenerate(drawn(2), keep_tokens=3, token=300).wait(60)
    branched = ids(session), texts(session)
    session.edit(session.messages[1].id, "edited words")
    edited = texts(session)
    runtime.close()
    again = make_runtime().sessions()[0]
    assert texts(again) == edited and again.messages[1].is_edited
    assert again.undo() and (ids(again), texts(again)) == branched
    assert again.undo() and len(texts(again)) == 2
    assert not again.undo()


def test_everything_works_without_saving(make_runtime: MakeRuntime) -> None:
    session = make_runtime(save=False).new_session()
    say(session, "one", drawn(1))
    session.regenerate(drawn(2), keep_tokens=3, token=300).wait(60)
    session.edit(session.messages[1].id, "edited words")
    session.continue_reply(GREEDY).wait(60)
    while session.undo():
        pass
    assert len(session.messages) == 2


def test_a_prompt_that_cannot_be_written_leaves_a_chat_that_goes_on(
    runtime: ChatRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = runtime.new_session()
    say(session, "one")
    writer = session._host._prompts.voice().writer
    monkeypatch.setattr(type(writer), "_render", lambda *_: 1 / 0)
    reply = session.send("two", GREEDY)
    with pytest.raises(Exception, match="could not be written"):
        reply.wait(60)
    monkeypatch.undo()
    assert say(session, "three")
    assert [message.state for message in session.messages][3] is MessageState.FAILED


def test_readers_hear_of_the_end_when_the_store_will_know_of_it(
    runtime: ChatRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    finish, tell = StoreThread.finish, Reply.tell

    def noted_finish(store: StoreThread, message_id: str, end: ReplyEnd) -> None:
        order.append(f"{message_id} stored")
        finish(store, message_id, end)

    def noted_tell(reply: Reply, event: TokenEvent) -> None:
        if event.finish_reason is not None:
            order.append(f"{reply.message_id} told")
        tell(reply, event)

    monkeypatch.setattr(StoreThread, "finish", noted_finish)
    monkeypatch.setattr(Reply, "tell", noted_tell)
    reply = runtime.new_session().send("one", GREEDY)
    reply.wait(60)
    assert order == [f"{reply.message_id} stored", f"{reply.message_id} told"]
