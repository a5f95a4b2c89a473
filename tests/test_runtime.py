"""ChatRuntime: starting, restarting, crashing, ending."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kvchat import errors
from kvchat.errors import DataDirInUse, EngineStopped, InvalidArgument, ModelError, ReplyFailed
from kvchat.kv.spec import KV_DTYPES
from kvchat.native.build_folder import BuildFolder
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
from kvchat.session.message import MessageState

GREEDY = SamplingParams(temperature=0, max_tokens=6)


def open_runtime(model: Path, data_dir: Path, **options: object) -> ChatRuntime:
    return ChatRuntime(model, data_dir=data_dir, threads=1, pool_bytes=4 << 20, **options)  # type: ignore[arg-type]


def test_a_restart_finds_every_chat_and_goes_on_with_the_same_words(
    tiny_model: Path, tmp_path: Path
) -> None:
    with open_runtime(tiny_model, tmp_path) as runtime:
        chat = runtime.new_session("first", system="Be kind.")
        chat.send("one", GREEDY).wait(60)
        fork = chat.fork(title="second")
        fork.send("two", GREEDY).wait(60)
        expected = [[message.text for message in session.messages] for session in (chat, fork)]
        going_on = fork.send("three", GREEDY).wait(60).text
        fork.rewind(turns=1)
    with open_runtime(tiny_model, tmp_path) as runtime:
        sessions = runtime.sessions()
        assert [session.title for session in sessions] == ["first", "second"]
        found = [[message.text for message in session.messages] for session in sessions]
        assert found == expected
        assert sessions[0].tag != sessions[1].tag and sessions[1].origin == sessions[0].id
        assert sessions[1].send("three", GREEDY).wait(60).text == going_on
        assert sessions[1].undo()


def test_what_was_said_survives_kill_9(tiny_model: Path, tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from kvchat.runtime import ChatRuntime
from kvchat.sampling_params import SamplingParams
runtime = ChatRuntime(Path(sys.argv[1]), data_dir=Path(sys.argv[2]), threads=1, pool_bytes=4 << 20)
chat = runtime.new_session()
chat.send("one", SamplingParams(temperature=0, max_tokens=6)).wait(60)
other = chat.fork()
reply = other.send("talk", SamplingParams(temperature=0, max_tokens=400))
shown = 0
for piece in reply:
    shown += 1
    if shown == 50:
        length = len(reply.text)
        runtime.host.save(lambda database: None).result()
        print(length, flush=True)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tiny_model), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    line = child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert int(line) > 0
    with open_runtime(tiny_model, tmp_path) as runtime:
        chat, other = runtime.sessions()
        assert chat.messages[0].text == "one"
        assert chat.messages[1].state is MessageState.DONE
        partial = other.messages[-1]
        assert other.messages[-2].text == "talk"
        assert partial.state is MessageState.INTERRUPTED
        assert len(partial.text) >= int(line)
        other.send("go on", GREEDY).wait(60)


def test_a_second_runtime_on_the_same_directory_is_refused(
    tiny_model: Path, tmp_path: Path
) -> None:
    with open_runtime(tiny_model, tmp_path), pytest.raises(DataDirInUse, match=str(os.getpid())):
        open_runtime(tiny_model, tmp_path)


def test_a_runtime_that_saves_nothing_works_beside_one_that_does(
    tiny_model: Path, tmp_path: Path
) -> None:
    with open_runtime(tiny_model, tmp_path) as first:
        first.new_session("stored")
        with open_runtime(tiny_model, tmp_path, save=False) as second:
            assert second.sessions() == []
            assert second.new_session().send("hello", GREEDY).wait(60).num_tokens > 0
        assert [session.title for session in first.sessions()] == ["stored"]


def test_what_was_found_at_the_start_is_told(tiny_model: Path, tmp_path: Path) -> None:
    with open_runtime(tiny_model, tmp_path) as runtime:
        assert runtime.notices == ()
        runtime.new_session("stored").send("hello", GREEDY).wait(60)
        runtime.host.save(lambda database: database.back_up()).result(60)
    (tmp_path / "chats.db").write_bytes(b"rubbish")
    (tmp_path / "chats.db").chmod(0o644)
    with open_runtime(tiny_model, tmp_path) as runtime:
        tightened, restored = runtime.notices
        assert tightened.startswith("Other users could read 1 file in ")
        assert restored.startswith("The chat database was damaged; opened the backup of ")
        assert [session.title for session in runtime.sessions()] == ["stored"]


def test_closing_gives_everything_back(tiny_model: Path, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with open_runtime(tiny_model, tmp_path) as runtime:
        chats = [runtime.new_session() for _ in range(3)]
        for reply in runtime.broadcast(chats, "hello", GREEDY):
            reply.wait(60)
        for chat in chats:
            chat.delete()
        memory = runtime.stats().memory
        assert memory.private_bytes == memory.shared_bytes == memory.held_bytes == 0
        assert memory.free_bytes + memory.cached_bytes == memory.pool_bytes
    runtime.close()
    assert set(threading.enumerate()) == before
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) == descriptors
    with pytest.raises(EngineStopped):
        runtime.new_session()


def test_closing_while_replies_run_keeps_them_interrupted(tiny_model: Path, tmp_path: Path) -> None:
    with open_runtime(tiny_model, tmp_path) as runtime:
        chat = runtime.new_session()
        reply = chat.send("talk", SamplingParams(temperature=0, max_tokens=400))
        next(iter(reply))
    assert reply.finish_reason == "cancelled"
    with open_runtime(tiny_model, tmp_path) as runtime:
        message = runtime.sessions()[0].messages[-1]
        assert message.state is MessageState.INTERRUPTED and message.text == reply.text


def test_a_pool_too_small_for_all_still_answers_everyone(tiny_model: Path) -> None:
    with ChatRuntime(
        tiny_model, save=False, threads=1, pool_bytes=40 << 10, block_size=8
    ) as runtime:
        assert runtime.stats().num_blocks < 64
        chats = [runtime.new_session() for _ in range(12)]
        sampling = SamplingParams(temperature=0, max_tokens=20)
        replies = runtime.broadcast(chats, "hello " * 20, sampling)
        words = {reply.wait(120).text for reply in replies}
        assert len(words) == 1


def test_sixty_four_chats_on_a_pool_for_eight_all_finish_and_know_their_place(
    tiny_model: Path,
) -> None:
    sampling = SamplingParams(temperature=0, max_tokens=12)
    text = "hello " * 30
    # A block of 8 tokens takes 2 KiB; a chat ends with about 6 of them.
    with ChatRuntime(
        tiny_model, save=False, threads=1, pool_bytes=104 << 10, block_size=8
    ) as runtime:
        alone = runtime.new_session().send(text, sampling).wait(120).text
        num_blocks = runtime.stats().num_blocks
        chats = [runtime.new_session() for _ in range(64)]
        # Different first words, so that nothing is shared.
        replies = [chat.send(f"{place} {text}", sampling) for place, chat in enumerate(chats)]
        places = set()
        while any(not reply.is_finished for reply in replies):
            places |= {place for chat in chats if (place := chat.queue_place) is not None}
            runtime.stats()
        assert all(reply.wait(1).num_tokens == 12 for reply in replies)
        assert runtime.stats().num_blocks == num_blocks <= 64
        assert any(place > 1 and length >= place for place, length in places)
        assert runtime.new_session().send(text, sampling).wait(120).text == alone


def test_two_chats_with_one_system_prompt_share_it_without_asking(tiny_model: Path) -> None:
    system = "You are a very patient teacher of geography, history and also of music. " * 3
    with ChatRuntime(tiny_model, save=False, threads=1, pool_bytes=4 << 20) as runtime:
        runtime.new_session(system=system).send("hello", GREEDY).wait(60)
        reply = runtime.new_session(system=system).send("something else", GREEDY)
        reply.wait(60)
        assert reply.num_cached_tokens >= 32
        memory = runtime.stats().memory
        assert memory.shared_bytes >= memory.pool_bytes // runtime.stats().num_blocks


def test_a_fifth_of_the_pool_is_freed_of_what_is_on_disk(tiny_model: Path, tmp_path: Path) -> None:
    with ChatRuntime(
        tiny_model, data_dir=tmp_path, threads=1, pool_bytes=104 << 10, block_size=8
    ) as runtime:
        for place in range(14):
            chat = runtime.new_session()
            chat.send(f"{place} " + "hello " * 30, GREEDY).wait(60)
            chat.save()
            runtime.host.release(chat.id)
        assert runtime.stats().memory.cached_bytes > 0
        chat.send("hi", GREEDY).wait(60)
        memory = runtime.stats().memory
        assert memory.free_bytes >= memory.pool_bytes // 5 - 3 * 2048


def test_neighbours_change_nobody_s_words(tiny_model: Path) -> None:
    sampling = SamplingParams(temperature=0.9, seed=7, max_tokens=24)
    with ChatRuntime(tiny_model, save=False, threads=1, pool_bytes=4 << 20) as runtime:
        alone = runtime.new_session().send("hello there", sampling).wait(60).text
        chats = [runtime.new_session() for _ in range(5)]
        replies = [chat.send(f"number {i}") for i, chat in enumerate(chats)]
        among = runtime.new_session().send("hello there", sampling).wait(60).text
        for reply in replies:
            reply.cancel()
        assert among == alone


def test_an_absent_device_fails_in_one_sentence(tiny_model: Path) -> None:
    with ChatRuntime(tiny_model, save=False, device="mps") as runtime:
        reply = runtime.new_session().send("hello")
        with pytest.raises(Exception, match="this machine has: "):
            reply.wait(60)
        assert runtime.status().state == "failed"


def test_a_bad_folder_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        ChatRuntime(tmp_path, save=False)
    with pytest.raises(InvalidArgument):
        ChatRuntime(save=False, block_size=7)


def test_the_pool_view_shows_owners_that_add_up(tiny_model: Path) -> None:
    with ChatRuntime(tiny_model, save=False, threads=1, pool_bytes=4 << 20) as runtime:
        chat = runtime.new_session()
        chat.send("hello " * 40, GREEDY).wait(60)
        chat.fork().send("more", GREEDY).wait(60)
        runtime.want_pool_view(True)
        while (view := runtime.pool_view()) is None or len(view.sequences) < 2:
            runtime.stats()
        parts = view.num_free + view.num_cached + view.num_private + view.num_shared + view.num_held
        assert parts == view.num_blocks == len(view.states)
        assert view.num_shared >= 1
        assert {sequence.session_id for sequence in view.sequences} == {
            session.id for session in runtime.sessions()
        }


def test_int8_keys_and_values_hold_more_tokens_in_the_same_room(tiny_model: Path) -> None:
    num_tokens = []
    for kv_dtype in KV_DTYPES:
        with ChatRuntime(
            tiny_model, save=False, threads=1, pool_bytes=1 << 20, kv_dtype=kv_dtype
        ) as runtime:
            runtime.new_session().send("hello", GREEDY).wait(60)
            stats = runtime.stats()
            num_tokens.append(stats.num_blocks * stats.block_size)
            assert stats.memory.pool_bytes <= 1 << 20
    # Heads of 8 numbers: 32 bytes as float32; as codes 8, and 4 for their scale.
    assert num_tokens[1] / num_tokens[0] == pytest.approx(32 / 12, rel=0.05)


def test_an_unknown_type_of_keys_and_values_is_refused_at_once(tiny_model: Path) -> None:
    with pytest.raises(InvalidArgument, match="auto or int8"):
        ChatRuntime(tiny_model, save=False, kv_dtype="int4")  # type: ignore[arg-type]


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_kernels_change_no_word_of_rounded_weights(
    tiny_model: Path,
    weights: str,
    kernel_folder: BuildFolder,
    kernel_library: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kvchat.native.kernels.build_folder", lambda: kernel_folder)
    answers: dict[str, list[str]] = {}
    for kernel in ("torch", "auto"):
        with ChatRuntime(
            tiny_model, save=False, threads=1, pool_bytes=4 << 20, weights=weights, kernel=kernel
        ) as runtime:
            chats = [runtime.new_session(system=f"You are number {index}.") for index in range(5)]
            replies = runtime.broadcast(chats, "Tell me a long story.", GREEDY)
            answers[kernel] = [reply.wait(60).text for reply in replies]
            status = runtime.status()
            assert status.weights == weights
            assert status.kernel == ("native" if kernel == "auto" else "torch")
            assert status.loaded_part == 1.0
    assert answers["torch"] == answers["auto"]


def end_engine(runtime: ChatRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine end in the middle of a step."""

    def die(point: str) -> None:
        if point == "runner.run":
            raise SystemExit

    monkeypatch.setattr(errors, "fault_hook", die)
    with pytest.raises(ReplyFailed):
        runtime.new_session().send("two", GREEDY).wait(60)
    runtime._engine._thread.join(60)
    monkeypatch.setattr(errors, "fault_hook", None)


@pytest.fixture
def padded_model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with 40 rows more than its tokenizer has ids, all of them very likely."""
    folder = tmp_path / "padded"
    shutil.copytree(tiny_model, folder)
    document = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    name = "model.embed_tokens.weight" if document["tie_word_embeddings"] else "lm_head.weight"
    for each in {name, "model.embed_tokens.weight"}:
        rows = tensors[each]
        tensors[each] = torch.cat((rows, 50 * rows[:20], -50 * rows[:20]))
    document["vocab_size"] += 40
    (folder / "config.json").write_text(json.dumps(document))
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("temperature", [0.0, 5.0])
def test_ids_that_the_tokenizer_does_not_have_are_never_chosen(
    padded_model: Path, tmp_path: Path, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = SamplingParams(temperature=temperature, max_tokens=12, seed=3)
    with open_runtime(padded_model, tmp_path / "data") as runtime:
        chat = runtime.new_session()
        limit = runtime.host.num_token_ids
        for number in range(2):
            reply = chat.send("one", sampling)
            reply.wait(60)
            ids = runtime.host.known(reply.message_id).token_ids  # type: ignore[union-attr]
            assert ids and max(ids) < limit
            if not number:  # what is built later knows the limit as well
                end_engine(runtime, monkeypatch)
                runtime.restart()
        with pytest.raises(InvalidArgument, match="The model has no token"):
            chat.regenerate(token=limit)

    assert limit == json.loads((padded_model / "config.json").read_text())["vocab_size"] - 40
