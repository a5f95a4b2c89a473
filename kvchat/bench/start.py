"""`kvchat bench start`: how soon stored chats can be used after a crash.

A directory with many chats is made once, in a temporary folder. Then a process opens a runtime on
it, again and again; each is killed, so that each start is one after a crash. Taken are the times
from before the process exists until all chats are listed, until the chat used last can be read, and
until a message said to it is stored. The model is not waited for: it loads meanwhile. Files are in
the memory of the system, as after a restart of kvchat and not of the machine. The last line is one
JSON object.
"""

import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import monotonic

from kvchat.bench.measure import machine, spread
from kvchat.bench.result import add_output_options, tell_document
from kvchat.cli_options import Parser
from kvchat.errors import InvalidArgument, KVChatError
from kvchat.sampling_params import SamplingParams
from kvchat.store.data_dir import DataDir
from kvchat.store.open_database import open_database
from kvchat.store.rows import MessageRow, SessionRow, new_id

NUM_WORDS = 4000
MESSAGE_WORDS = (3, 120)
TOKENS_PER_WORD = 1.4
_CHILD = """
import os, sys
from pathlib import Path
from time import monotonic
from kvchat.runtime import ChatRuntime
runtime = ChatRuntime(data_dir=Path(sys.argv[1]), threads=1)
sessions = runtime.sessions()
listed = monotonic()
last = max(sessions, key=lambda session: session.use_order)
num_messages = len(last.messages)
read = monotonic()
last.send("hello")
stored = monotonic()
print(len(sessions), num_messages, listed, read, stored, flush=True)
os._exit(0)
"""


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from before a process was made until its chats could be used."""

    listed: float
    read: float
    stored: float


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark, print a table and a line of JSON, and return the exit status."""
    parser = Parser(
        prog="kvchat bench start", description="Measure a start with many stored chats."
    )
    parser.add_argument("--sessions", type=int, default=1000, metavar="N", help="chats stored")
    parser.add_argument("--messages", type=int, default=50, metavar="N", help="messages in each")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="starts measured")
    add_output_options(parser)
    options = parser.parse_args(arguments)
    if min(options.sessions, options.messages, options.rounds) < 1:
        raise InvalidArgument("--sessions, --messages and --rounds must be at least 1.")
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "data"
        num_bytes = make_chats(directory, options.sessions, options.messages)
        start(directory)  # the first one fills what later ones find filled
        starts = [start(directory) for _ in range(options.rounds)]
    if not options.json:
        total = options.sessions * options.messages
        print(
            f"{options.sessions} chats, {total} messages, {num_bytes / 1e6:.0f} MB, after a crash"
        )
        for name in ("listed", "read", "stored"):
            print(f"  {name:8}{spread([getattr(each, name) for each in starts], ' s')}")
    figures = {
        name: [round(getattr(each, name), 4) for each in starts] for name in asdict(starts[0])
    }
    document: dict[str, object] = {
        "num_sessions": options.sessions,
        "num_messages": options.sessions * options.messages,
        "num_bytes": num_bytes,
        "seconds": figures,
        "median_seconds": {name: round(median(values), 4) for name, values in figures.items()},
        "machine": machine(),
    }
    return tell_document(document, options)


def make_chats(directory: Path, num_sessions: int, num_messages: int, seed: int = 1) -> int:
    """Fill a new directory with chats as they are when everything is indexed; return its bytes."""
    dice = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(dice.choices(letters, k=dice.randint(2, 9))) for _ in range(NUM_WORDS)]
    with DataDir(directory) as place:
        database = open_database(place.database_path)
        for number in range(num_sessions):
            tree_id = new_id()
            messages: list[MessageRow] = []
            for place_in_chat in range(num_messages):
                chosen = dice.choices(words, k=dice.randint(*MESSAGE_WORDS))
                ids = [dice.randrange(8000) for _ in range(int(TOKENS_PER_WORD * len(chosen)))]
                parent_id = messages[-1].id if messages else None
                role = "assistant" if place_in_chat % 2 else "user"
                messages.append(
                    MessageRow(new_id(), tree_id, parent_id, role, " ".join(chosen), tuple(ids))  # type: ignore[arg-type]  # one of the two
                )
            session = SessionRow(
                id=new_id(),
                tree_id=tree_id,
                title=f"chat {number}",
                sampling=SamplingParams().to_dict(),
                tip_id=messages[-1].id,
                tag_index=number,
            )
            database.import_chat(session, messages)
            database.accept_token_ids({row.id: True for row in messages})
        while database.num_gaps:
            database.index_slice()
        database.back_up()
        database.close()
    return (directory / "chats.db").stat().st_size


def start(directory: Path) -> Start:
    """Open the chats of a directory in a process that is killed, and say how long each step took.

    Raises KVChatError when the process fails.
    """
    begun = monotonic()  # the same clock in every process
    ended = subprocess.run(
        [sys.executable, "-c", _CHILD, str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise KVChatError(f"The measured process has failed: {ended.stderr.strip()[-400:]}")
    _, _, listed, read, stored = ended.stdout.split()
    return Start(float(listed) - begun, float(read) - begun, float(stored) - begun)
