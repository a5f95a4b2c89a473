import os
import random
import signal
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
from pty_box import FAKE_APP, Box  # type: ignore[import-not-found]
from textual import events
from textual._xterm_parser import XTermParser

from kvchat.tui import terminal
from kvchat.tui.terminal import repair_input


@pytest.fixture(autouse=True)
def repaired() -> None:
    repair_input()


def keys(typed: str) -> list[str]:
    parser = XTermParser()
    found = [*parser.feed(typed), *parser.feed("")]
    return [event.key for event in found if isinstance(event, events.Key)]


@pytest.mark.parametrize("digit", "123456789")
def test_alt_with_a_digit_is_that_key_and_no_letter(digit: str) -> None:
    assert keys(f"\x1b{digit}") == [f"alt+{digit}"]


def test_alt_with_enter_is_not_enter() -> None:
    assert keys("\x1b\r") == ["alt+enter"]


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("x", "alt+x"), ("X", "alt+shift+x"), ("é", "alt+é"), (".", "alt+full_stop"),
        (" ", "alt+space"),
    ],
)  # fmt: skip
def test_alt_with_a_character_writes_nothing_under_any_name(typed: str, key: str) -> None:
    parser = XTermParser()
    received = [*parser.feed(f"\x1b{typed}b"), *parser.feed("")]
    found = [event for event in received if isinstance(event, events.Key)]

    assert [event.key for event in found] == [key, "b"]
    assert [event.is_printable for event in found] == [False, True]


def test_alt_with_arrows_is_not_escape() -> None:
    assert keys("\x1b[1;3A\x1b[1;3B") == ["alt+up", "alt+down"]


def test_key_reports_with_impossible_numbers_are_skipped() -> None:
    assert "x" in keys("\x1b[99999999999;1ux")


def test_damaged_input_never_raises() -> None:
    numbers = random.Random(7)
    parts = ["\x1b", "[", "<", "0", "9", ";", ":", "?", "u", "~", "M", "m", "$y", "t", "200~",
             "\x1b[200~", "\x1b[201~", "é", "\x00", "999999999999", "\ufffd"]  # fmt: skip
    for _ in range(3_000):
        list(XTermParser().feed("".join(numbers.choices(parts, k=numbers.randint(1, 24)))))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_gives_the_terminal_back(number: signal.Signals) -> None:
    box = Box(FAKE_APP)
    try:
        box.read_until(b"ready")
        os.write(box.master, b"\xff\xfe\xc3(typed")
        box.read_until(b"typed")
        os.kill(box.child.pid, number)
        status = box.end()

        assert status == 128 + number
        assert termios.tcgetattr(box.slave)[3] == box.before[3]
        for mode in (b"\x1b[?1049l", b"\x1b[?1000l", b"\x1b[?2004l", b"\x1b[?25h", b"\x1b[<u"):
            assert mode in box.output
    finally:
        box.close()


def test_the_screen_is_on_the_terminal_while_stderr_goes_to_a_file(tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as log:
        box = Box(FAKE_APP, stderr=log.fileno())
    try:
        box.read_until(b"Ask anything")
        os.write(box.master, b"typed")
        box.read_until(b"typed")
        os.write(box.master, b"\x11")
        status = box.end()

        assert status == 0
        assert termios.tcgetattr(box.slave)[3] == box.before[3]
        assert b"\x1b[?1049l" in box.output
        assert (tmp_path / "log").read_bytes() == b""
    finally:
        box.close()


def test_a_signal_that_another_thread_receives_ends_the_app_though_it_waits_for_a_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So it is when a terminal is gone that nobody has read: SIGHUP goes to the writing thread."""
    monkeypatch.setattr(terminal, "WAKE_SECONDS", 0.05)
    ends: list[int] = []
    held = threading.Lock()
    held.acquire()

    def end(status: int) -> None:
        ends.append(status)
        held.release()

    def receive() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGHUP)

    receiver = threading.Timer(0.05, receive)
    with terminal.end_signals(end):
        receiver.start()
        assert held.acquire(timeout=20)
    receiver.join()
    assert ends == [128 + signal.SIGHUP]


def test_ending_signals_mean_what_they_meant_once_the_app_has_gone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with terminal.end_signals(lambda status: None):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


STUCK_APP = """
import os, signal, time
from kvchat.tui import terminal
terminal.WATCHDOG_SECONDS = terminal.WAKE_SECONDS = 0.05
with terminal.end_signals(lambda status: None):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""


def test_an_app_that_does_not_go_is_ended() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK_APP], stderr=subprocess.PIPE, check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert b"\x1b[?1049l" in done.stderr


def test_an_app_that_does_not_go_is_ended_on_its_screen_though_stderr_is_a_file(
    tmp_path: Path,
) -> None:
    with open(tmp_path / "log", "wb") as log:
        box = Box(STUCK_APP, stderr=log.fileno())
    try:
        assert box.end() == 128 + signal.SIGTERM
        assert b"\x1b[?1049l" in box.output
        assert (tmp_path / "log").read_bytes() == b""
    finally:
        box.close()
