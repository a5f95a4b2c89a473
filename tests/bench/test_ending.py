"""What ends with a benchmark that is ended, and by what."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvchat.bench import ending
from kvchat.bench.ending import EndedBySignal, ended, ending_signals

# `bench all` whose benchmarks are a program that says its number and then never ends.
PROGRAM = """
import sys
from kvchat import cli
sys.executable = sys.argv[1]
sys.exit(cli.main(["bench", "all", "--only", "caches", "--out", sys.argv[2]]))
"""


@pytest.fixture
def deaf() -> Iterator[subprocess.Popen[str]]:
    """A process that ignores SIGTERM and waits for a line."""
    words = ["sh", "-c", "trap '' TERM; echo ready; read line"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_of_all_that_is_ended_leaves_no_process_and_no_file(
    tmp_path: Path, number: signal.Signals
) -> None:
    endless = tmp_path / "python"
    endless.write_text("#!/bin/sh\necho $$ >&2\nexec sleep 120\n")
    endless.chmod(0o700)
    temporary, folder = tmp_path / "temporary", tmp_path / "found"
    temporary.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(endless), str(folder)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(temporary)},
    ) as running:
        assert running.stderr is not None
        try:
            name, _, child = running.stderr.readline().partition(": ")
            assert name == "  caches"
            os.kill(running.pid, number)
            assert running.wait(60) == 128 + number
            assert running.stderr.read() == ""
        finally:
            running.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(int(child), 0)
    assert list(folder.iterdir()) == [] and list(temporary.iterdir()) == []


def test_a_process_that_does_not_listen_is_killed(
    deaf: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "SECONDS_TO_END", 0.01)
    with pytest.raises(EndedBySignal), ended(deaf):
        raise EndedBySignal(143)
    assert deaf.wait(60) == -signal.SIGKILL


def test_a_process_is_left_alone_where_nothing_goes_wrong(deaf: subprocess.Popen[str]) -> None:
    with ended(deaf):
        pass
    assert deaf.communicate("a line\n", timeout=60) and deaf.returncode == 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_what_is_put_away_after_a_signal_is_not_broken_off_by_the_next() -> None:
    is_away = False
    with pytest.raises(EndedBySignal) as end, ending_signals():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGHUP)
            is_away = True
    assert is_away and end.value.code == 128 + signal.SIGTERM


def test_a_signal_that_is_ignored_stays_ignored_and_a_handler_is_given_back() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    terminating = signal.getsignal(signal.SIGTERM)
    try:
        with ending_signals():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) is not terminating
        assert signal.getsignal(signal.SIGTERM) is terminating
    finally:
        signal.signal(signal.SIGHUP, before)
