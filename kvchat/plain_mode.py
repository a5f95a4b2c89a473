"""Line mode: kvchat without a full screen, for screen readers and terminals that cannot draw.

Reads a line, says the reply as it comes, and says in words what changed. Everything written here
is plain text that ends in a newline; nothing moves the cursor, blinks or overwrites.
"""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

from kvchat.clean_text import clean
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.runtime import ChatRuntime
from kvchat.session.reply import Reply
from kvchat.session.session import Session
from kvchat.session_choice import find_session

HELP = """\
Write a message and press Enter. A backslash at the end of a line goes on in the next one.
While a reply is written, Control C stops it; its text so far is kept.
/new [title]    start a new chat
/sessions       list the chats
/switch NAME    go to a chat, by its number in that list, its title or its id
/fork [title]   go on from here in a second chat; nothing is copied
/rewind [n]     go back n turns; nothing is lost
/undo           take back the last rewind
/retry          answer the last message again
/restart        start the model again after it stopped working
/quit           leave; so does Control D
A line that begins with two slashes is sent with one."""
MAX_LISTED = 50
WAKE_SECONDS = 1.0


class PlainChat:
    """One conversation after the other on standard input and output."""

    def __init__(self, runtime: ChatRuntime, session: Session | None) -> None:
        self.runtime = runtime
        sessions = runtime.sessions()
        last = max(sessions, key=lambda each: each.use_order, default=None)
        self.session = session or last or runtime.new_session()
        self._commands: dict[str, Callable[[str], None]] = {
            "help": lambda _: say(HELP),
            "new": self._new,
            "sessions": self._list,
            "switch": self._switch,
            "fork": self._fork,
            "rewind": self._rewind,
            "undo": self._undo,
            "retry": lambda _: self._speak(self.session.regenerate()),
            "restart": self._restart,
            "quit": self._quit,
        }
        self._commands["exit"] = self._commands["bye"] = self._commands["quit"]
        self.has_ended = False

    def take(self, text: str) -> None:
        """Send a message or run a slash command; what is refused becomes one sentence."""
        try:
            if text.startswith("/") and not text.startswith("//"):
                self._run(text[1:])
            elif text.strip():
                message = text[1:] if text.startswith("//") else text
                self._speak(self.session.send(message))
        except KVChatError as error:
            say(f"Error: {error.sentence}")

    def tell_place(self) -> None:
        """Say which chat this is and how it ended."""
        session = self.session
        count = session.num_messages
        say(f"Chat “{session.title}”, {count} message{'' if count == 1 else 's'}. /help for help.")
        if count:
            last = session.messages[-1]
            say(f"{'You' if last.role == 'user' else 'kvchat'} said last: {last.text}")

    def _run(self, line: str) -> None:
        word, _, args = line.partition(" ")
        names = [name for name in self._commands if name.startswith(word.lower())]
        if word.lower() in self._commands:
            names = [word.lower()]
        if len(names) != 1 or not word:
            known = ", ".join(f"/{name}" for name in (names or self._commands))
            raise InvalidArgument(f"/{word[:40]} is not one command here; there are {known}.")
        self._commands[names[0]](args.strip())

    def _speak(self, reply: Reply) -> None:
        status = self.runtime.status()
        if status.state == "loading":
            say(status.sentence)
        said = 0
        is_stopped = False
        try:
            for piece in reply:
                write(clean(piece))
                said += len(piece)
        except KeyboardInterrupt:
            reply.cancel()
            reply.wait()
            write(clean(reply.text[said:]))
            is_stopped = True
        finally:
            write("\n" if reply.text and not reply.text.endswith("\n") else "")
        if is_stopped:
            say("Stopped; the text so far is kept.")
        elif reply.finish_reason == "context":
            say("The reply ended at the end of the context; /rewind or /new goes on.")

    def _new(self, args: str) -> None:
        self.session = self.runtime.new_session(args or None)
        say("A new chat.")

    def _list(self, _args: str) -> None:
        sessions = self.runtime.sessions()
        for number, session in list(enumerate(sessions, 1))[-MAX_LISTED:]:
            here = ", this one" if session is self.session else ""
            count = session.num_messages
            messages = "1 message" if count == 1 else f"{count} messages"
            say(f"{number}. {session.title}, {messages}{here}")

    def _switch(self, args: str) -> None:
        sessions = self.runtime.sessions()
        if args.isdecimal() and 1 <= int(args) <= len(sessions):
            self.session = sessions[int(args) - 1]
        elif args:
            self.session = find_session(sessions, args)
        else:
            raise InvalidArgument("Name the chat: /switch 2, or /switch and a part of its title.")
        self.tell_place()

    def _fork(self, args: str) -> None:
        self.session = self.session.fork(title=args or None)
        say(f"Now in “{self.session.title}”, which goes on from the same place.")

    def _rewind(self, args: str) -> None:
        if args and (not args.isdecimal() or not int(args)):
            raise InvalidArgument(f"{args[:40]} is no number of turns; write /rewind 1.")
        self.session.rewind(turns=int(args or 1))
        say("Rewound; /undo goes back.")
        self.tell_place()

    def _undo(self, _args: str) -> None:
        say("Undone." if self.session.undo() else "Nothing to undo.")
        self.tell_place()

    def _restart(self, _args: str) -> None:
        self.runtime.restart()
        say(self.runtime.status().sentence)

    def _quit(self, _args: str) -> None:
        self.has_ended = True


def talk(runtime: ChatRuntime, session: Session | None, *, first_prompt: str | None = None) -> int:
    """Talk on standard input and output until the user leaves; return the exit status."""
    for stream in (sys.stdin, sys.stdout):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # input() edits lines and remembers them once it is loaded

    chat = PlainChat(runtime, session)
    with _ending_signals():
        if first_prompt is None:
            chat.tell_place()
        else:
            chat.take(first_prompt)
        warned = False
        while not chat.has_ended:
            try:
                text = read_message()
            except EOFError:
                say("")
                break
            except KeyboardInterrupt:
                if warned:
                    return 130
                warned = True
                say("\nControl C again leaves; so does /quit.")
                continue
            warned = False
            chat.take(text)
    return 0


def read_message() -> str:
    """Return the next message; a line that ends in a backslash goes on in the next."""
    lines = [input("> ")]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(input(". "))
    return "\n".join(lines)


def say(text: str) -> None:
    """Write a sentence of ours, whatever names stand in it."""
    write(clean(text) + "\n")


def write(text: str) -> None:
    """Write cleaned text at once, so that it is heard as it comes."""
    sys.stdout.write(text)
    sys.stdout.flush()


@contextlib.contextmanager
def _ending_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP leave in order, so that a running reply is stored as it is.

    A signal that comes just before a line is waited for would be noticed only after that line, so
    SIGALRM ends the waiting each second, for a look at what came.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, leave) for number in numbers}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, WAKE_SECONDS, WAKE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
