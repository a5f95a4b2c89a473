"""The thread around the engine: order of commands, ends, views; no test waits for time to pass."""

import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import pytest

from kvchat.engine import engine_thread
from kvchat.engine.engine import Engine
from kvchat.engine.engine_thread import VIEW_SECONDS, EngineThread
from kvchat.engine.request import FinishReason, Request, TokenEvent
from kvchat.errors import EngineStopped, InvalidArgument, ModelError
from tests.engine.engine_kit import GREEDY, LetterText, Reader, make_engine, solo_tokens

PATIENCE = 20.0
"""Seconds until a test that hangs fails; nothing waits that long when all is well."""


class FakeEngine:
    """An engine whose steps are counted and may wait for the test."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.work = 0
        self.num_steps = 0
        self.seconds_to_wait: float | None = None
        self.num_looks = 0
        self.on_step: Callable[[], None] = lambda: None
        self.cache = self
        self.abandoned: list[str | None] = []

    @property
    def has_work(self) -> bool:
        self.num_looks += 1
        return self.work > 0

    def step(self) -> None:
        self.log.append("step")
        self.work -= 1
        self.num_steps += 1
        self.on_step()

    def stats(self) -> list[Any]:  # what a real engine returns is not looked into here
        return []

    def pool_view(self, group_index: int) -> str:
        return f"view of step {self.num_steps}"

    def abandon(self, error: str | None = None) -> None:
        self.abandoned.append(error)


class WatchedEvent(threading.Event):
    """Tells the test when the thread sleeps, and for how long."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeps: deque[float | None] = deque()
        self.is_asleep = threading.Semaphore(0)
        self.on_timed_sleep: Callable[[], None] | None = None

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_set():
            self.sleeps.append(timeout)
            if timeout is not None and self.on_timed_sleep is not None:
                self.on_timed_sleep()
                return False
            self.is_asleep.release()
        return super().wait(timeout)


class Running:
    """A started thread over a fake engine, and what it told."""

    def __init__(self, engine: Engine | FakeEngine | None = None) -> None:
        self.engine = FakeEngine() if engine is None else engine
        self.ends: list[str | None] = []
        self.has_ended = threading.Event()
        self.thread = EngineThread(self.build, on_ready=self.note_ready, on_ended=self.note_ended)
        self.wake = WatchedEvent()
        self.thread._wake = self.wake

    @property
    def fake(self) -> FakeEngine:
        return cast(FakeEngine, self.engine)

    def build(self) -> Engine:
        return cast(Engine, self.engine)

    def note_ready(self, engine: Engine) -> None:
        assert engine is self.engine

    def note_ended(self, sentence: str | None) -> None:
        self.ends.append(sentence)
        self.has_ended.set()

    def do(self, action: Callable[[FakeEngine], object]) -> Any:  # whatever the action returns
        return self.thread.call(cast(Callable[[Engine], Any], action)).result(PATIENCE)

    def sleep(self) -> None:
        """Wait until the thread sleeps."""
        assert self.wake.is_asleep.acquire(timeout=PATIENCE)


def test_commands_run_in_order_between_two_steps() -> None:
    running = Running()
    in_step, go_on = threading.Event(), threading.Event()

    def on_step() -> None:
        in_step.set()
        assert go_on.wait(PATIENCE)

    def first(engine: Engine) -> None:
        running.fake.on_step = on_step
        running.fake.work = 3
        running.fake.log.append("first")

    running.thread.call(first)
    running.thread.start()
    assert in_step.wait(PATIENCE)
    for name in ("second", "third"):
        running.thread.call(lambda engine, name=name: running.fake.log.append(name))  # type: ignore[misc]
    assert running.fake.log == ["first", "step"]
    go_on.set()
    assert running.do(lambda engine: "done") == "done"
    assert running.thread.close(PATIENCE)
    assert running.fake.log[:5] == ["first", "step", "second", "third", "step"]


def test_commands_wait_in_line_until_the_engine_is_built() -> None:
    running = Running()
    built = threading.Event()

    def build() -> Engine:
        assert built.wait(PATIENCE)
        return running.build()

    running.thread._build = build
    running.thread.start()
    answer = running.thread.call(lambda engine: engine)
    assert not answer.done()
    built.set()
    assert answer.result(PATIENCE) is running.engine
    assert running.thread.close(PATIENCE)


@pytest.mark.parametrize("error", [InvalidArgument("No."), KeyError("x")])
def test_a_command_that_raises_tells_whoever_asked_and_nobody_else(error: Exception) -> None:
    def fail(engine: FakeEngine) -> None:
        raise error

    running = Running()
    running.thread.start()
    with pytest.raises(type(error)):
        running.do(fail)
    assert running.do(lambda engine: 7) == 7
    assert running.thread.close(PATIENCE)
    assert running.ends == [None]


def test_a_cancelled_command_does_not_run_and_harms_nobody() -> None:
    running = Running()
    future = running.thread.call(lambda engine: running.fake.log.append("never"))
    assert future.cancel()
    running.thread.start()
    assert running.do(lambda engine: 7) == 7
    assert running.fake.log == []
    assert running.thread.close(PATIENCE)


def test_a_model_that_cannot_be_loaded_is_told_in_its_own_sentence() -> None:
    def build() -> Engine:
        raise ModelError("config.json says 0 attention heads.")

    running = Running()
    running.thread._build = build
    future = running.thread.call(lambda engine: 7)
    running.thread.start()
    with pytest.raises(EngineStopped):
        future.result(PATIENCE)
    assert running.has_ended.wait(PATIENCE)
    assert running.ends == ["config.json says 0 attention heads."]
    with pytest.raises(EngineStopped):
        running.do(lambda engine: 7)


def test_a_step_that_fails_ends_the_thread_with_a_sentence_without_its_message() -> None:
    def on_step() -> None:
        raise AssertionError("secret")

    running = Running()
    running.fake.work, running.fake.on_step = 1, on_step
    running.thread.start()
    assert running.has_ended.wait(PATIENCE)
    (sentence,) = running.ends
    assert sentence is not None and "AssertionError" in sentence and "secret" not in sentence
    assert running.fake.abandoned == [engine_thread.ABANDONED]


def test_a_command_that_exits_ends_the_thread_and_leaves_nobody_waiting() -> None:
    def leave(engine: FakeEngine) -> None:
        raise SystemExit

    running = Running()
    running.thread.start()
    with pytest.raises(EngineStopped, match="SystemExit"):
        running.do(leave)
    assert running.has_ended.wait(PATIENCE)
    assert running.ends[0] is not None and "SystemExit" in running.ends[0]


def test_a_thread_that_ended_with_an_error_is_restarted_once_and_serves_again() -> None:
    def leave(engine: FakeEngine) -> None:
        raise SystemExit

    running = Running()
    running.thread.start()
    assert not running.thread.restart()
    with pytest.raises(EngineStopped):
        running.do(leave)
    notes: list[str] = []
    assert running.thread.restart(lambda: notes.append("loading"))
    assert running.ends and running.ends[0] is not None
    assert running.do(lambda engine: 7) == 7
    assert running.thread.failure is None and running.thread.view is None
    assert not running.thread.restart(lambda: notes.append("again"))
    assert notes == ["loading"]
    assert running.thread.close(PATIENCE)
    assert not running.thread.restart()


def test_a_thread_that_is_ending_does_not_restart_itself() -> None:
    answers: list[bool] = []
    running = Running()
    running.thread._on_ended = lambda sentence: answers.append(running.thread.restart())
    running.fake.work, running.fake.on_step = 1, lambda: sys.exit()
    running.thread.start()
    running.thread._thread.join(PATIENCE)
    assert answers == [False]


def test_close_runs_what_is_queued_then_ends() -> None:
    running = Running()
    futures = [running.thread.call(lambda engine, n=n: n) for n in range(5)]  # type: ignore[misc]
    running.thread.start()
    assert running.thread.close(PATIENCE)
    assert [future.result(0) for future in futures] == list(range(5))
    assert running.ends == [None]
    assert running.thread.close(PATIENCE)
    assert running.ends == [None]


def test_close_says_when_the_thread_did_not_end_in_time() -> None:
    running = Running()
    in_step, go_on = threading.Event(), threading.Event()

    def on_step() -> None:
        in_step.set()
        assert go_on.wait(PATIENCE)

    running.fake.work, running.fake.on_step = 1, on_step
    running.thread.start()
    assert in_step.wait(PATIENCE)
    assert not running.thread.close(0.0)
    go_on.set()
    assert running.thread.close(PATIENCE)


def test_a_call_after_close_holds_engine_stopped() -> None:
    running = Running()
    running.thread.start()
    running.thread.close(PATIENCE)
    with pytest.raises(EngineStopped):
        running.do(lambda engine: 7)


def test_a_thread_that_never_started_leaves_nobody_waiting() -> None:
    running = Running()
    future = running.thread.call(lambda engine: 7)
    assert running.thread.close()
    with pytest.raises(EngineStopped):
        future.result(0)


def test_an_idle_thread_sleeps_until_the_next_command() -> None:
    running = Running()
    running.thread.start()
    running.sleep()
    for _ in range(3):
        before = running.fake.num_looks
        running.do(lambda engine: None)
        running.sleep()
        # Three looks a round; a command may wake it once more after it has run.
        assert running.fake.num_looks - before <= 9
    assert set(running.wake.sleeps) == {None}
    assert running.thread.close(PATIENCE)


def test_a_wanted_view_is_published_after_steps_and_commands() -> None:
    running = Running()
    running.thread.start()
    running.sleep()
    assert running.thread.view is None
    running.thread.want_view(True)
    running.sleep()
    assert running.thread.view is not None
    running.thread.want_view(False)
    running.sleep()

    def work(engine: FakeEngine) -> None:
        engine.work = 2

    running.do(work)
    running.sleep()
    assert cast(str, running.thread.view) == "view of step 0"
    assert running.thread.close(PATIENCE)


def test_views_are_published_five_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(engine_thread, "monotonic", lambda: now[0])
    running = Running()

    def pass_time() -> None:
        now[0] += VIEW_SECONDS

    running.wake.on_timed_sleep = pass_time
    views: list[object] = []
    running.fake.on_step = lambda: views.append(running.thread.view)
    running.thread.start()
    running.thread.want_view(True)

    def work(engine: FakeEngine) -> None:
        engine.work = 10

    running.do(work)
    for _ in range(1000):
        running.do(lambda engine: None)
        if running.thread.view == cast(object, "view of step 10"):
            break
    # Ten steps took no time, so they had one view; the last state followed once time had passed.
    assert len(set(views) - {None}) <= 1
    assert cast(str, running.thread.view) == "view of step 10"
    assert running.thread.close(PATIENCE)


# With a real engine


def submit(running: Running, on_event: Callable[[TokenEvent], None]) -> Reader:
    engine = cast(Engine, running.engine)
    request = Request("a", [1, 2, 3], GREEDY, 0, frozenset(), on_event, LetterText())

    def start(_: FakeEngine) -> None:
        engine.open("a")
        engine.submit(request)

    running.do(start)
    return Reader(request)


def test_a_mailbox_nobody_reads_does_not_delay_a_step() -> None:
    running = Running(make_engine())
    mailbox: deque[TokenEvent] = deque()
    running.thread.start()
    submit(running, mailbox.append)
    while not (mailbox and mailbox[-1].finish_reason):
        running.sleep()
    engine = cast(Engine, running.engine)
    # One step a token, as if somebody had read them all.
    assert engine.num_steps == GREEDY.max_tokens
    assert [event.token_id for event in mailbox] == solo_tokens([1, 2, 3])
    assert running.thread.progress == {}
    assert running.thread.close(PATIENCE)


def test_close_tells_running_generations_that_they_are_cancelled() -> None:
    running = Running(make_engine())
    first_token, go_on = threading.Event(), threading.Event()
    events: list[TokenEvent] = []

    def on_event(event: TokenEvent) -> None:
        events.append(event)
        first_token.set()
        assert go_on.wait(PATIENCE)

    running.thread.start()
    submit(running, on_event)
    assert first_token.wait(PATIENCE)
    assert not running.thread.close(0.0)
    go_on.set()
    assert running.thread.close(PATIENCE)
    assert events[-1].finish_reason is FinishReason.CANCELLED
    assert [event.token_id for event in events[:-1]] == solo_tokens([1, 2, 3])[: len(events) - 1]
