"""What a terminal sends and what it needs back: keys, damaged input, signals.

Five repairs of Textual's input, made once at start: Alt with a digit and Alt+Enter arrive as such
on terminals without the extended key protocol, Alt with any other character is no text, bad UTF-8
becomes a replacement character, a key report with impossible numbers is skipped, and pasted escapes
press no keys (see `paste_guard`).
Signals end the app in order, and a watchdog gives the terminal back if the app cannot.
"""

import codecs
import os
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager, suppress
from enum import Enum
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

from textual import _ansi_sequences, _xterm_parser
from textual.drivers import linux_driver
from textual.events import Key, Paste

from kvchat.tui.paste_guard import PasteGuard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.message import Message

WATCHDOG_SECONDS = 2.0
WAKE_SECONDS = 1.0
END_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
)
_RESET = (
    b"\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"  # mouse
    b"\x1b[?2004l\x1b[?1004l\x1b[?2048l\x1b[?7h\x1b[<u"  # paste, focus, resize, wrap, keys
    b"\x1b[?1049l\x1b[?25h\x1b[0m"  # screen, cursor, colours
)


class _AltKey(Enum):
    """Values Textual's sequence table can hold, for keys its own enum lacks."""

    ENTER = "alt+enter"
    UP = "alt+up"
    DOWN = "alt+down"
    DIGIT_1 = "alt+1"
    DIGIT_2 = "alt+2"
    DIGIT_3 = "alt+3"
    DIGIT_4 = "alt+4"
    DIGIT_5 = "alt+5"
    DIGIT_6 = "alt+6"
    DIGIT_7 = "alt+7"
    DIGIT_8 = "alt+8"
    DIGIT_9 = "alt+9"


def repair_input() -> None:
    """Make the five repairs of the input parser; doing it twice changes nothing."""
    table = cast(dict[str, Any], _ansi_sequences.ANSI_SEQUENCES_KEYS)  # read-only only in its type
    table["\x1b\r"] = (_AltKey.ENTER,)
    table["\x1b[1;3A"] = (_AltKey.UP,)
    table["\x1b[1;3B"] = (_AltKey.DOWN,)
    for digit in "123456789":
        table[f"\x1b{digit}"] = (_AltKey(f"alt+{digit}"),)
    vars(linux_driver)["getincrementaldecoder"] = _forgiving_decoder
    parser = _xterm_parser.XTermParser
    if parser._parse_extended_key is not _parse_extended_key:
        parser._parse_extended_key = _parse_extended_key  # type: ignore[method-assign,assignment]
        parser._sequence_to_key_events = _key_events  # type: ignore[method-assign]
        parser.feed = _feed  # type: ignore[method-assign]


def _forgiving_decoder(encoding: str) -> Callable[[], codecs.IncrementalDecoder]:
    decoder = codecs.getincrementaldecoder(encoding)
    return lambda: decoder(errors="replace")


_original_parse = _xterm_parser.XTermParser._parse_extended_key


def _parse_extended_key(self: _xterm_parser.XTermParser, sequence: str) -> list[Key] | None:
    try:
        return _original_parse(self, sequence)
    except (ValueError, OverflowError):  # a code point outside Unicode
        return None


_original_key_events = _xterm_parser.XTermParser._sequence_to_key_events


def _key_events(
    self: _xterm_parser.XTermParser, sequence: str, alt: bool = False
) -> "Iterator[Key]":
    """Yield the keys of a sequence; with Alt none of them is text, or `alt+x` would write an x."""
    for key in _original_key_events(self, sequence, alt):
        if alt and key.is_printable:
            name = key.key if key.key.startswith("alt+") else f"alt+{key.key}"
            yield Key(name, None)
        else:
            yield key


_original_feed = _xterm_parser.XTermParser.feed


def _feed(self: _xterm_parser.XTermParser, data: str) -> "Iterator[Message]":
    guard: PasteGuard = vars(self).setdefault("paste_guard", PasteGuard())
    allowed = guard.guarded(data)
    if data and not allowed:  # held back; an empty chunk would mean the end of input
        return
    for message in _original_feed(self, allowed):
        if isinstance(message, Paste):
            message.text = guard.taken()
        yield message


@contextmanager
def end_signals(end: Callable[[int], None]) -> "Iterator[None]":
    """While inside, an ending signal calls `end(128 + number)`; leaving is enforced in time.

    `end` is called between two instructions of the main thread and must only hand the wish on.
    If the app has not gone `WATCHDOG_SECONDS` later, the terminal is restored and the process ends.

    The system may hand a signal to any thread, and Python handles it only when the main one wakes;
    that one may wait for ever to write to a terminal that is gone. So SIGALRM wakes it each second.
    """
    attributes = _terminal_attributes()
    status = 0
    deadline = float("inf")

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal status, deadline
        status = 128 + number
        deadline = min(deadline, monotonic() + WATCHDOG_SECONDS)
        end(status)

    def on_alarm(_number: int, _frame: FrameType | None) -> None:
        if monotonic() >= deadline:
            restore_terminal(attributes)
            os._exit(status)

    previous = {number: signal.signal(number, on_signal) for number in END_SIGNALS}
    previous[signal.SIGALRM] = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, WAKE_SECONDS, WAKE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def screen_on_terminal() -> "Iterator[None]":
    """While inside, the screen goes to the terminal on stdout if stderr goes elsewhere.

    Textual draws on stderr; with `kvchat 2>log` the log would be the screen. Only what Textual
    takes as stderr is replaced: what other libraries write there still lands in the log.
    """
    stderr = sys.__stderr__
    if _screen_descriptor() == 2:
        yield
        return
    with open(os.dup(1), "w", encoding="utf-8", errors="replace") as screen:
        sys.__stderr__ = screen  # type: ignore[misc]  # final only for others
        try:
            yield
        finally:
            sys.__stderr__ = stderr  # type: ignore[misc]


def _screen_descriptor() -> int:
    """Return where the terminal is that shows the screen."""
    return 1 if os.isatty(1) and not os.isatty(2) else 2


def _terminal_attributes() -> list[Any] | None:
    """Return the settings of the terminal on stdin, None if it is none."""
    with suppress(ImportError, OSError, ValueError):
        import termios

        with suppress(termios.error):
            attributes: list[Any] = termios.tcgetattr(sys.__stdin__.fileno())  # type: ignore[union-attr]
            return attributes
    return None


def restore_terminal(attributes: list[Any] | None) -> None:
    """Leave full screen, mouse, paste and key modes, and put the line settings back."""
    with suppress(OSError):
        os.write(_screen_descriptor(), _RESET)
    if attributes is None:
        return
    with suppress(ImportError, OSError, ValueError):
        import termios

        with suppress(termios.error):
            stdin = sys.__stdin__.fileno()  # type: ignore[union-attr]
            termios.tcsetattr(stdin, termios.TCSANOW, attributes)
