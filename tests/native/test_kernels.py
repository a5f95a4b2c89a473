"""The compiled library: its pool of threads, and what happens where there is none."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kvchat.errors import InvalidArgument
from kvchat.native.build_folder import BuildFolder
from kvchat.native.kernels import Kernels, choose_kernels

SQUARES = [number * number for number in range(300)]


@pytest.fixture
def two_threads(kernels: Kernels) -> Iterator[Kernels]:
    before = kernels.num_threads
    kernels.set_threads(2)
    yield kernels
    kernels.set_threads(before)


@pytest.mark.parametrize("num_threads", [1, 2, 3, 8])
def test_every_chunk_is_computed_once_by_any_number_of_threads(
    two_threads: Kernels, num_threads: int
) -> None:
    two_threads.set_threads(num_threads)
    assert two_threads.num_threads == num_threads
    for _ in range(200):
        assert two_threads.square_numbers(300) == SQUARES


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_what_a_held_up_thread_has_in_hand_is_drafted_anew_and_its_own_draft_dropped(
    two_threads: Kernels, num_threads: int
) -> None:
    two_threads.set_threads(num_threads)
    patience = time.monotonic() + 60
    while True:
        num_wrong, num_drafts = two_threads.draft_held_up(12, 40, 300)
        assert num_wrong == 0
        if num_threads == 1:
            assert num_drafts == 12 * 40, "nobody else is there"
            break
        assert num_drafts >= 12 * 40
        if num_drafts > 12 * 40:
            break
        assert time.monotonic() < patience, "no thread but the caller's ever came to a chunk"


def test_callers_at_the_same_time_do_not_wait_for_each_other(two_threads: Kernels) -> None:
    with ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda _: two_threads.square_numbers(300), range(400)))
    assert all(each == SQUARES for each in found)


def test_a_forked_process_gets_threads_of_its_own(kernel_library: Path) -> None:
    # In a process of its own, since forking one with threads of torch warns.
    program = f"""
import os
from pathlib import Path
from kvchat.native.kernels import load
kernels = load(Path({str(kernel_library)!r}))
kernels.set_threads(3)
wanted = [each * each for each in range(300)]
assert kernels.square_numbers(300) == wanted
child = os.fork()
if child == 0:
    os._exit(0 if all(kernels.square_numbers(300) == wanted for _ in range(50)) else 1)
assert kernels.square_numbers(300) == wanted
assert os.waitpid(child, 0)[1] == 0
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr


def test_torch_means_no_kernels_and_no_compiler(tmp_path: Path) -> None:
    told: list[str] = []
    assert choose_kernels("torch", told.append, BuildFolder(tmp_path)) is None
    assert choose_kernels("auto", told.append, BuildFolder(tmp_path)) is None
    assert told == [] and list(tmp_path.iterdir()) == []


def test_auto_takes_kernels_that_are_compiled(
    kernel_library: Path, kernel_folder: BuildFolder
) -> None:
    told: list[str] = []
    assert choose_kernels("auto", told.append, kernel_folder) is not None
    assert choose_kernels("native", told.append, kernel_folder) is not None
    assert told == []


def test_native_without_a_compiler_is_one_sentence_and_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    told: list[str] = []
    assert choose_kernels("native", told.append, BuildFolder(tmp_path)) is None
    assert len(told) == 1
    assert "no-such-compiler" in told[0] and told[0].endswith("Plain torch is used instead.")


def test_a_damaged_library_is_one_line_of_the_log_and_torch(
    tmp_path: Path, kernel_library: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = tmp_path / kernel_library.name
    content = bytearray(kernel_library.read_bytes())
    content[4096:8192] = bytes(4096)  # a block of the disk: what loads this has a segfault
    damaged.write_bytes(content)
    damaged.chmod(0o700)
    tmp_path.chmod(0o700)
    assert choose_kernels("auto", print, BuildFolder(tmp_path)) is None
    assert len(caplog.records) == 1 and "is damaged" in caplog.text


def test_a_library_that_cannot_be_loaded_is_one_line_of_the_log_and_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compiler = tmp_path / "wrong++"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in *--version*) exit 0;; esac\n'
        'while [ $# -gt 1 ]; do shift; done\necho "for another system" > "$1"\n'
    )
    compiler.chmod(0o700)
    monkeypatch.setenv("CXX", str(compiler))
    folder = BuildFolder(tmp_path / "kernels")
    folder.provide(lambda _: None)
    assert choose_kernels("auto", print, folder) is None
    assert len(caplog.records) == 1 and "cannot be loaded" in caplog.text
    assert "; delete " in caplog.text  # what is to be done next


def test_a_kernel_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="auto, torch, native"):
        choose_kernels("fast", print, BuildFolder(tmp_path))
