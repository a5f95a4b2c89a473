"""The engine ends with an error and is built again: the same chats go on with the same words."""

import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from kvchat import errors
from kvchat.engine.engine import Engine
from kvchat.errors import EngineStopped, InvalidArgument, ReplyFailed
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.session.message import MessageState
from kvchat.session.session import Session

GREEDY = SamplingParams(temperature=0, max_tokens=8)
DRAWN = SamplingParams(temperature=0.9, seed=5, max_tokens=8)
LONG = SamplingParams(temperature=0, max_tokens=400)
Open = Callable[..., ChatRuntime]


@pytest.fixture
def open_runtime(tiny_model: Path, tmp_path: Path) -> Open:
    def make(*, save: bool = True) -> ChatRuntime:
        folder = tmp_path / "data" if save else None
        return ChatRuntime(
            tiny_model,
            data_dir=folder,
            save=save,
            threads=1,
            device="cpu",
            pool_bytes=4 << 20,
            block_size=8,
        )

    return make


def kill_engine(runtime: ChatRuntime, monkeypatch: pytest.MonkeyPatch, *chats: Session) -> None:
    """Let the engine end while it computes for these chats, as no error of one reply does."""
    replies = [chat.send("and on", LONG) for chat in chats]
    for reply in replies:
        next(iter(reply))

    def die(point: str) -> None:
        if point == "runner.run":
            raise SystemExit

    monkeypatch.setattr(errors, "fault_hook", die)
    for reply in replies:
        with pytest.raises(ReplyFailed, match=r"^Generation stopped working, so this reply"):
            reply.wait(60)
    runtime._engine._thread.join(60)
    monkeypatch.setattr(errors, "fault_hook", None)
    assert runtime.status().state == "failed"


def talk(runtime: ChatRuntime) -> list[Session]:
    """Two chats and a fork of one, each with something said."""
    first = runtime.new_session("first", system="Be kind.")
    second = runtime.new_session("second", window=64)
    for chat in (first, second):
        chat.send("the river and the window " * 6, GREEDY).wait(60)
    third = first.fork(title="third")
    third.send("two", DRAWN).wait(60)
    return [first, second, third]


@pytest.mark.parametrize("save", [True, False])
def test_after_a_failure_the_same_chats_go_on_with_the_words_of_no_cache(
    open_runtime: Open, monkeypatch: pytest.MonkeyPatch, save: bool
) -> None:
    with open_runtime(save=False) as runtime:
        expected = []
        for chat in talk(runtime):
            reply = chat.send("and on", LONG)
            piece = next(iter(reply))
            chat.stop()
            assert piece
            chat.rewind(turns=1)
            chat.unload()
            expected.append([chat.send("go on", way).wait(60).text for way in (DRAWN, GREEDY)])
    with open_runtime(save=save) as runtime:
        chats = talk(runtime)
        if save:
            for chat in chats:
                chat.save()
        kill_engine(runtime, monkeypatch, *chats)
        sentence = runtime.status().sentence
        assert sentence == (
            "Generation stopped working: SystemExit. "
            "Your chats are saved; restart it with /restart."
        )
        with pytest.raises(EngineStopped, match="restart it with /restart"):
            runtime.stats()
        runtime.restart()
        failed = [chat.messages[-1] for chat in chats]
        assert all(each.state is MessageState.FAILED and each.text for each in failed)
        for chat in chats:
            chat.rewind(turns=1)
        replies = [chat.send("go on", DRAWN) for chat in chats]
        found = [[reply.wait(60).text] for reply in replies]
        for chat, texts in zip(chats, found, strict=True):
            texts.append(chat.send("go on", GREEDY).wait(60).text)
        assert found == expected
        assert runtime.status().state == "ready"
        if save:  # what disk had was not computed again
            assert replies[0].num_cached_tokens > replies[0].num_prompt_tokens // 2


def test_a_chat_can_go_on_behind_the_reply_that_failed(
    open_runtime: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_runtime() as runtime:
        chat = runtime.new_session()
        kill_engine(runtime, monkeypatch, chat)
        runtime.restart()
        text = chat.messages[-1].text
        answer = chat.send("go on", GREEDY).wait(60).text
        assert chat.messages[1].text == text and chat.messages[1].state is MessageState.FAILED
        copy = runtime.import_session(chat.export("json"))
        copy.rewind(turns=1)
        chat.delete()
        assert copy.send("go on", GREEDY).wait(60).text == answer


def test_a_message_said_between_failure_and_restart_fails_and_can_be_retried(
    open_runtime: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_runtime() as runtime:
        chat = runtime.new_session()
        kill_engine(runtime, monkeypatch, chat)
        with pytest.raises(ReplyFailed, match="restart it with /restart"):
            chat.send("hello", GREEDY).wait(60)
        runtime.restart()
        assert chat.regenerate(GREEDY).wait(60).num_tokens == 8


def test_nothing_is_restarted_while_the_engine_works_or_after_closing(open_runtime: Open) -> None:
    with open_runtime(save=False) as runtime:
        with pytest.raises(InvalidArgument, match="nothing to restart"):
            runtime.restart()
        runtime.stats()
        with pytest.raises(InvalidArgument, match="nothing to restart"):
            runtime.restart()
    with pytest.raises(EngineStopped, match="was closed"):
        runtime.restart()


def test_many_who_restart_at_once_make_one_engine(
    open_runtime: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_runtime(save=False) as runtime:
        chat = runtime.new_session()
        kill_engine(runtime, monkeypatch, chat)
        before = set(threading.enumerate())
        barrier = threading.Barrier(8)
        outcomes: list[str] = []

        def restart() -> None:
            barrier.wait(60)
            try:
                runtime.restart()
            except InvalidArgument:
                outcomes.append("refused")
            else:
                outcomes.append("restarted")

        workers = [threading.Thread(target=restart) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert sorted(outcomes) == ["refused"] * 7 + ["restarted"]
        (new,) = set(threading.enumerate()) - before
        assert new.name == "kvchat-engine"
        assert chat.send("go on", GREEDY).wait(60).num_tokens == 8


def test_engines_that_failed_leave_no_model_pool_thread_or_block(
    open_runtime: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set(threading.enumerate())

    def engine_of(runtime: ChatRuntime) -> "weakref.ref[Engine]":
        return runtime._engine.call(weakref.ref).result(60)

    with open_runtime() as runtime:
        chats = talk(runtime)
        for _ in range(3):
            engine = engine_of(runtime)
            kill_engine(runtime, monkeypatch, *chats)
            runtime.restart()
            runtime.stats()
            gc.collect()
            assert engine() is None
            names = [thread.name for thread in threading.enumerate()]
            assert names.count("kvchat-engine") == 1
            for chat in chats:
                chat.send("go on", GREEDY).wait(60)
        for chat in chats:
            chat.delete()
        memory = runtime.stats().memory
        assert memory.private_bytes == memory.shared_bytes == memory.held_bytes == 0
    assert set(threading.enumerate()) == threads


def test_an_engine_that_could_not_be_built_keeps_no_model_and_can_be_tried_again(
    open_runtime: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(point: str) -> None:
        if point == "checkpoint.tensor":
            raise MemoryError

    monkeypatch.setattr(errors, "fault_hook", fail)
    with open_runtime() as runtime:
        reply = runtime.new_session().send("hello", GREEDY)
        with pytest.raises(ReplyFailed):
            reply.wait(60)
        runtime._engine._thread.join(60)
        assert runtime.status().state == "failed"
        monkeypatch.setattr(errors, "fault_hook", None)
        runtime.restart()
        chat = runtime.sessions()[0]
        assert chat.regenerate(GREEDY).wait(60).num_tokens == 8


def test_a_prompt_that_failed_with_the_old_engine_never_runs_on_the_new_one(
    open_runtime: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_runtime(save=False) as runtime:
        chat = runtime.new_session()
        runtime.stats()
        call, prompts_thread = runtime._engine.call, runtime.host._prompts
        ident = prompts_thread.submit(threading.get_ident).result(60)

        def leave(engine: Engine) -> None:
            raise SystemExit

        def call_after_restart(command: Callable[[Engine], object]) -> object:
            if threading.get_ident() == ident:  # between writing the prompt and handing it over
                monkeypatch.setattr(runtime._engine, "call", call)
                call(leave)
                runtime._engine._thread.join(60)
                runtime.restart()
            return call(command)

        monkeypatch.setattr(runtime._engine, "call", call_after_restart)
        reply = chat.send("hello", LONG)
        with pytest.raises(ReplyFailed):
            reply.wait(60)
        prompts_thread.submit(lambda: None).result(60)
        assert not runtime._engine.call(lambda engine: engine.has_work).result(60)
        assert chat.send("go on", GREEDY).wait(60).num_tokens == 8
