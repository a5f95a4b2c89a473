"""`kernel=` of a runtime: the same words with native kernels, one sentence where there are none."""

import io
import json
from pathlib import Path

import pytest

from kvchat import ChatRuntime, SamplingParams
from kvchat.cli import main
from kvchat.errors import InvalidArgument
from kvchat.native import kernels as kernels_module
from kvchat.native.build_folder import BuildFolder

GREEDY = SamplingParams(temperature=0, max_tokens=24)
PROMPTS = ("Hello! Who are you?", "Tell me a short story about a fox.", "And then?")


@pytest.fixture
def folder(
    kernel_library: Path, kernel_folder: BuildFolder, monkeypatch: pytest.MonkeyPatch
) -> BuildFolder:
    """Let runtimes find the kernels of this run of tests, and no others."""
    monkeypatch.setattr(kernels_module, "build_folder", lambda: kernel_folder)
    return kernel_folder


def words(kernel: str, kv_dtype: str = "auto") -> tuple[str, list[str]]:
    """Return what computed, and what the bundled model says in a chat, two forks and a batch."""
    with ChatRuntime(save=False, kernel=kernel, kv_dtype=kv_dtype, threads=1) as runtime:  # type: ignore[arg-type]
        chat = runtime.new_session(system="You are friendly.")
        said = [chat.send(PROMPTS[0], GREEDY).wait(60).text]
        forks = [chat.fork(), chat.fork()]
        said += [reply.wait(60).text for reply in runtime.broadcast(forks, PROMPTS[1], GREEDY)]
        said += [forks[0].send(PROMPTS[2], GREEDY).wait(60).text]
        return runtime.status().kernel, said


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
def test_the_bundled_model_says_the_same_words(folder: BuildFolder, kv_dtype: str) -> None:
    kernel, said = words("native", kv_dtype)
    assert kernel == "native"
    assert words("torch", kv_dtype) == ("torch", said)
    assert all(said)


def test_auto_computes_with_kernels_that_are_compiled(folder: BuildFolder) -> None:
    with ChatRuntime(save=False, threads=1) as runtime:
        assert runtime.stats().num_steps == 0
        assert runtime.status().kernel == "native"
        assert runtime.status().notice == ""


def test_native_without_a_compiler_says_so_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernels_module, "build_folder", lambda: BuildFolder(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    arguments = ["--kernel", "native", "--max-tokens", "4", "--threads", "1", "--json"]
    assert main(["-p", "Hello!", *arguments]) == 0
    out, error = capsys.readouterr()
    assert json.loads(out)["kernel"] == "torch"
    assert error.count("kvchat:") == 1 and "Plain torch is used instead." in error


def test_a_kernel_of_another_name_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="auto, torch, native"):
        ChatRuntime(save=False, kernel="fast")
