"""`kvchat keys --probe`: what the terminal sends for each key, and what kvchat makes of it.

Reads keys as the app does, with the same modes of the terminal and the same repairs of its input,
so that a key that does nothing in the app can be told from one that never arrives.
"""

import os
import select
import sys
import termios
from codecs import getincrementaldecoder
from collections.abc import Iterator

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Key, MouseEvent, Paste

from kvchat.clean_text import clean
from kvchat.errors import InvalidArgument
from kvchat.tui.command import NEVER_BOUND
from kvchat.tui.commands import Registry
from kvchat.tui.terminal import repair_input

QUIET_SECONDS = 0.1
"""So long nothing must follow an escape before it is the key Esc."""
_MODES_ON = "\x1b[?2004h\x1b[>25u"  # bracketed paste; keys as the app asks for them
_MODES_OFF = "\x1b[<u\x1b[?2004l"
ENDING = "ctrl+c"


class KeyProbe:
    """Says in lines what arrived; two `^c` in a row end it."""

    def __init__(self, registry: Registry) -> None:
        repair_input()
        self._registry = registry
        self._parser = XTermParser()
        self._bytes = b""
        self._decoder = getincrementaldecoder("utf-8")(errors="replace")
        self._last_key = ""
        self.is_ended = False

    def feed(self, received: bytes) -> Iterator[str]:
        """Take bytes of the terminal; yield a line for each key or paste they end."""
        for byte in received:  # one by one, so that each key has its own
            self._bytes += bytes((byte,))
            text = self._decoder.decode(bytes((byte,)))
            if text:  # nothing would mean the end of input
                yield from self._told(self._parser.feed(text))

    def rest(self) -> Iterator[str]:
        """Yield what is known now that nothing follows: an escape alone is Esc."""
        yield from self._told(self._parser.tick())

    def _told(self, messages: object) -> Iterator[str]:
        for message in messages:  # type: ignore[attr-defined]  # the parser types it too wide
            sent, self._bytes = self._bytes, b""
            if isinstance(message, Key):
                yield self._key_line(sent, message)
            elif isinstance(message, Paste):
                yield f"{'paste':<16}{len(message.text)} characters"
            elif isinstance(message, MouseEvent):
                yield f"{'mouse':<16}{_written(sent)}"

    def _key_line(self, sent: bytes, event: Key) -> str:
        key = event.key
        self.is_ended = key == ENDING == self._last_key
        self._last_key = key
        commands = self._registry.for_key(key)
        does = "; ".join(f"{each.title} ({each.id})" for each in commands)
        if not does and key in NEVER_BOUND:
            does = f"never bound: {NEVER_BOUND[key]}"
        words = "types itself" if event.is_printable else "no command; the prompt may know it"
        return f"{clean(key):<16}{_written(sent):<16}  {does or words}"


def probe(registry: Registry) -> int:
    """Show every key that is pressed until ^c is pressed twice; raises InvalidArgument.

    Needs a terminal for input and output, and leaves it as it was.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidArgument("--probe asks a terminal; run it in one, without a pipe.")
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    now = termios.tcgetattr(descriptor)
    now[3] = LinuxDriver._patch_lflag(now[3])
    now[0] = LinuxDriver._patch_iflag(now[0])
    keys = KeyProbe(registry)
    print("Press keys; ^c twice ends. Key as kvchat calls it, what arrived, what it does:")
    try:
        termios.tcsetattr(descriptor, termios.TCSANOW, now)
        print(_MODES_ON, end="", flush=True)
        while not keys.is_ended:
            if select.select([descriptor], [], [], QUIET_SECONDS)[0]:
                received = os.read(descriptor, 4096)
                if not received:
                    break
                lines = keys.feed(received)
            else:
                lines = keys.rest()
            for line in lines:
                print(line, flush=True)
    finally:
        print(_MODES_OFF, end="", flush=True)
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
    return 0


def _written(sent: bytes) -> str:
    """Return bytes as people write them: `ESC [ A`, `^x`."""
    words = []
    for byte in sent:
        if byte == 0x1B:
            words.append("ESC ")
        elif byte < 0x20:
            words.append(f"^{chr(byte + 64)}")
        elif byte < 0x7F:
            words.append(chr(byte))
        else:
            words.append(f"<{byte:02x}>")
    return "".join(words).strip()
