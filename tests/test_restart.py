"""A restart goes on without reading chats again, and with the same words."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.session.session import Session

GREEDY = SamplingParams(temperature=0, max_tokens=12)
LONG = "the river and the window were far away from the garden " * 8
Open = Callable[..., ChatRuntime]


@pytest.fixture
def open_runtime(tiny_model: Path, tmp_path: Path) -> Open:
    def make(**options: object) -> ChatRuntime:
        arguments: dict[str, object] = {
            "data_dir": tmp_path / "data",
            "threads": 1,
            "device": "cpu",
            "pool_bytes": 4 << 20,
            **options,
        }
        return ChatRuntime(arguments.pop("model", tiny_model), **arguments)  # type: ignore[arg-type]

    return make


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "data" / "kv").iterdir())


def say(session: Session, text: str) -> tuple[str, int]:
    """Return what is answered, and how many tokens of the prompt were computed for it."""
    reply = session.send(text, GREEDY)
    answer = reply.wait(60).text
    return answer, reply.num_prompt_tokens - reply.num_cached_tokens


@pytest.mark.parametrize("window", [None, 64])
def test_after_a_restart_only_the_new_message_is_computed(
    open_runtime: Open, window: int | None
) -> None:
    with open_runtime() as runtime:
        chat = runtime.new_session(window=window, system="Be kind.")
        for text in (LONG, "one", "two"):
            say(chat, text)
        expected, num_new = say(chat, "and then?")
        chat.rewind(turns=1)
    with open_runtime() as runtime:
        (chat,) = runtime.sessions()
        answer, num_computed = say(chat, "and then?")
        assert answer == expected
        assert num_computed <= num_new < chat.stats().num_cached_tokens


def test_forks_share_files_and_both_come_back(open_runtime: Open, tmp_path: Path) -> None:
    with open_runtime() as runtime:
        chat = runtime.new_session(window=None)
        say(chat, LONG)
        chat.save()
        before = files(tmp_path)
        forks = [chat.fork() for _ in range(5)]
        for fork in forks:
            fork.save()
        assert files(tmp_path) == before
        say(chat, "a turn that replaces the open tail of the first one")
    with open_runtime() as runtime:
        for session in runtime.sessions()[1:]:
            num_tokens = session.stats().num_tokens
            reply = session.send("go on", GREEDY)
            reply.wait(60)
            # All but the last token of the old reply, which was never computed.
            assert reply.num_cached_tokens >= num_tokens - 1
        assert runtime.stats().memory.shared_bytes > 0


def test_going_back_after_a_restart_says_what_is_on_disk(open_runtime: Open) -> None:
    with open_runtime() as runtime:
        chat = runtime.new_session(window=None)
        say(chat, LONG)
        say(chat, "one")
    with open_runtime() as runtime:
        (chat,) = runtime.sessions()
        plan = chat.rewind(turns=1)
        assert plan.num_resident_tokens == plan.num_prefill_tokens == 0
        assert plan.num_disk_tokens == plan.num_tokens > 0
        say(chat, "two")
        plan = chat.rewind(turns=1)
        assert plan.num_resident_tokens == plan.num_tokens
        assert plan.num_disk_tokens == 0


def test_what_was_saved_is_there_after_kill_9(
    open_runtime: Open, tiny_model: Path, tmp_path: Path
) -> None:
    script = """
import sys, time
from pathlib import Path
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
runtime = ChatRuntime(Path(sys.argv[1]), data_dir=Path(sys.argv[2]), threads=1, pool_bytes=4 << 20)
chat = runtime.new_session(window=None)
chat.send(sys.argv[3], SamplingParams(temperature=0, max_tokens=12)).wait(60)
chat.save()
print("saved", flush=True)
time.sleep(60)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tiny_model), str(tmp_path / "data"), LONG],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "saved\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with open_runtime() as runtime:
        (chat,) = runtime.sessions()
        num_tokens = chat.stats().num_tokens
        reply = chat.send("go on", GREEDY)
        reply.wait(60)
        assert reply.num_cached_tokens == num_tokens - 1


def test_a_deleted_chat_leaves_no_keys_and_values(open_runtime: Open, tmp_path: Path) -> None:
    with open_runtime() as runtime:
        chat = runtime.new_session(window=None)
        say(chat, LONG)
        chat.save()
        assert files(tmp_path)
        chat.delete()
    assert files(tmp_path) == []


def test_without_saving_no_file_is_written(open_runtime: Open, tmp_path: Path) -> None:
    with open_runtime(save=False) as runtime:
        chat = runtime.new_session()
        say(chat, LONG)
        chat.save()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_may_be_deleted_at_any_time(open_runtime: Open, tmp_path: Path) -> None:
    import shutil

    with open_runtime() as runtime:
        chat = runtime.new_session(window=None)
        say(chat, LONG)
        expected, _ = say(chat, "again")
        chat.rewind(turns=1)
    shutil.rmtree(tmp_path / "data" / "kv")
    with open_runtime() as runtime:
        (chat,) = runtime.sessions()
        answer, num_computed = say(chat, "again")
        assert answer == expected and num_computed > 50
        # Moved away, since the last turn is being written and the folder is never quite empty.
        (tmp_path / "data" / "kv").rename(tmp_path / "gone")
        say(chat, "still there?")


@pytest.mark.parametrize("weights", ["bf16", "int8", "int4"])
def test_another_precision_reads_the_chat_again(open_runtime: Open, weights: str) -> None:
    with open_runtime() as runtime:
        say(runtime.new_session(window=None), LONG)
    with open_runtime(weights=weights) as runtime:
        (chat,) = runtime.sessions()
        num_tokens = chat.stats().num_tokens
        _, num_computed = say(chat, "go on")
        assert num_computed > num_tokens
        say(chat, "and on")


@pytest.mark.parametrize("window", [None, 64])
@pytest.mark.parametrize("block_size", [8, 64])
def test_another_block_size_is_converted(
    open_runtime: Open, block_size: int, window: int | None
) -> None:
    with open_runtime() as runtime:
        chat = runtime.new_session(window=window, sinks=0 if window is None else 64)
        for text in (LONG, "one", "two"):
            say(chat, text)
        expected, num_new = say(chat, "and then?")
        chat.rewind(turns=1)
    with open_runtime(block_size=block_size) as runtime:
        (chat,) = runtime.sessions()
        answer, num_computed = say(chat, "and then?")
        assert answer == expected
        assert num_computed <= num_new < chat.stats().num_cached_tokens


def test_closing_ends_the_thread_and_its_files(open_runtime: Open) -> None:
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(3):
        with open_runtime() as runtime:
            say(runtime.new_session(), "hello")
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) == descriptors
