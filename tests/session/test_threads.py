"""Every public method from many threads at once: no deadlock, no lost message, no broken tree."""

import asyncio
import random
import threading
from collections.abc import Callable

import pytest

from kvchat.errors import InvalidArgument, SessionBusy, SessionClosed
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.session.message import Message
from kvchat.session.session import Session
from tests.session.session_kit import GREEDY, ids, say, texts

MakeRuntime = Callable[..., ChatRuntime]
NUM_THREADS = 8
NUM_CALLS = 25
SHORT = SamplingParams(temperature=0.9, max_tokens=4)


def some_message(rng: random.Random, session: Session) -> Message:
    messages = session.messages
    if not messages:
        raise InvalidArgument("nothing was said yet")
    return rng.choice(messages)


def one_call(rng: random.Random, runtime: ChatRuntime, session: Session) -> object:
    """Call one public method; whatever it refuses, it refuses with an error of its own."""
    calls: list[Callable[[], object]] = [
        lambda: session.send(f"word {rng.randrange(100)}", SHORT),
        lambda: session.send("and wait", SHORT).wait(60),
        lambda: session.enqueue("later"),
        lambda: session.unqueue(),
        lambda: session.stop(),
        lambda: session.edit(some_message(rng, session).id, "edited", SHORT),
        lambda: session.regenerate(SHORT, keep_tokens=rng.randrange(3), token=300),
        lambda: session.regenerate(SHORT, message_id=some_message(rng, session).id),
        lambda: session.continue_reply(SHORT),
        lambda: session.fork(at=rng.randrange(40)).delete(),
        lambda: session.fork(token=300).close(),
        lambda: session.rewind(turns=1),
        lambda: session.undo(),
        lambda: session.visit(rng.choice(list(session.tree().nodes) or [""])),
        lambda: session.hide(some_message(rng, session).id),
        lambda: session.label(str(rng.randrange(9)), some_message(rng, session).id),
        lambda: session.set_system(rng.choice([None, "Be kind."])),
        lambda: session.set_window(rng.choice([None, 64])),
        lambda: session.tokens(some_message(rng, session).id),
        lambda: session.alternatives(rng.randrange(40)),
        lambda: session.plan_rewind(some_message(rng, session).id).num_prefill_tokens,
        lambda: session.resume_cost(),
        lambda: session.unload(),
        lambda: session.load(),
        lambda: session.stats(),
        lambda: session.set_draft("draft"),
        lambda: session.export("json"),
        lambda: runtime.broadcast(session, "fan out", SHORT, forks=2),
        lambda: runtime.ask(session, "many", 2, SHORT),
        lambda: runtime.stats(),
        lambda: runtime.search("word"),
    ]
    return rng.choice(calls)()


@pytest.mark.parametrize("seed", [0, 1])
def test_any_method_may_be_called_from_any_thread(make_runtime: MakeRuntime, seed: int) -> None:
    runtime = make_runtime()
    shared = [runtime.new_session() for _ in range(3)]
    broken: list[BaseException] = []

    def work(number: int) -> None:
        rng = random.Random(f"{seed} {number}")
        for _ in range(NUM_CALLS):
            try:
                one_call(rng, runtime, rng.choice(shared))
            except (InvalidArgument, SessionBusy, SessionClosed):
                pass
            except BaseException as error:  # whatever else comes is what this test looks for
                broken.append(error)
                raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(NUM_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
        assert not thread.is_alive()
    assert broken == []
    for session in runtime.sessions():  # a fork's reply may be what a shared chat stands on
        session.stop()
        if session.reply is not None:
            session.reply.wait(60)
    for session in shared:
        session.set_window(None)
        say(session, "still here?", GREEDY)
        tree = session.tree()
        for message in session.messages:
            assert message.parent_id is None or message.parent_id in tree.nodes
    expected = {session.id: (ids(session), texts(session)) for session in runtime.sessions()}
    runtime.close()
    found = {each.id: (ids(each), texts(each)) for each in make_runtime().sessions()}
    assert {key: found[key] for key in expected} == expected


async def test_a_reply_can_be_awaited_and_streamed_by_several_tasks(runtime: ChatRuntime) -> None:
    reply = runtime.new_session().send("hello", GREEDY)

    async def read() -> str:
        return "".join([piece async for piece in reply])

    first, second, message = await asyncio.gather(read(), read(), reply)
    assert first == second == message.text == reply.text
    assert (await reply).id == reply.message_id
