"""A program that talks and is killed: run by test_crash.py, which checks what it left behind.

Reads one JSON object per line: {"directory", "seed", "kill_at"}. For each it forks a child that
does random work on the store and the segments in that directory and says on stdout, as JSON lines,
what it is about to do ("try") and what was acknowledged ("ack"); at its `kill_at`-th fault point it
kills itself. A child that is not killed says how many fault points it has passed.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from kvchat import errors
from kvchat.store.data_dir import DataDir
from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, ReplyEnd, SessionRow
from kvchat.store.segment_folder import SegmentFolder, installation_secret
from kvchat.store.segment_thread import SegmentThread
from kvchat.store.store_thread import StoreThread
from tests.store.segment_workload import LAYOUT, make_segment

NUM_ACTIONS = 14
TOKENS_PER_TICK = 8
num_hits = 0


def say(kind: str, **values: object) -> None:
    os.write(1, json.dumps({"say": kind} | values).encode() + b"\n")


def kill_at(hit: int) -> None:
    def hook(point: str) -> None:
        global num_hits
        num_hits += 1
        if num_hits == hit:
            os.kill(os.getpid(), signal.SIGKILL)

    errors.fault_hook = hook


class Talk:
    """Sessions and what happens to them, in an order the seed decides."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.prefix = f"{seed}-"
        self.store = StoreThread(directory / "chats.db", tick_seconds=3600.0, tick_tokens=10**9)
        self.segments = SegmentThread(
            self.store.submit,
            SegmentFolder(directory / "kv"),
            installation_secret(directory),
            folder_bytes=3000,
        )
        self.segments.open(LAYOUT)
        self.tips: dict[str, str | None] = {}
        self.parents: dict[str, str | None] = {}
        self.waiting: dict[str, list[str]] = {}
        self.deleted: list[str] = []
        self.num_ids = 0

    def new_id(self, kind: str) -> str:
        self.num_ids += 1
        return f"{kind}{self.prefix}{self.num_ids}"

    def do(self, job: Callable[[Database], object], **what: object) -> None:
        say("try", **what)
        self.store.submit(job).result()
        say("ack", **what)

    def set_tip(
        self, session: str, tip: str | None, job: Callable[[Database], object], **what: object
    ) -> None:
        self.do(job, session=session, tip=tip, **what)
        self.tips[session] = tip

    def new_session(self) -> str:
        name, tree = self.new_id("s"), self.new_id("t")
        row = SessionRow(id=name, tree_id=tree, title=f"title {name}")
        self.set_tip(name, None, lambda database: database.create_session(row), tree=tree)
        self.waiting[name] = []
        return name

    def tree_of(self, session: str) -> str:
        return self.store.submit(lambda database: database.session(session)).result().tree_id

    def send(self, session: str, *, is_waiting: bool = False) -> None:
        name, tree = self.new_id("u"), self.tree_of(session)
        text = f"question {name} " * self.random.randint(1, 200)
        if is_waiting:
            text = self.waiting[session].pop(0)
        row = MessageRow(name, tree, self.tips[session], "user", text)
        self.parents[name] = row.parent_id
        self.set_tip(
            session,
            name,
            lambda database: database.add_message(
                session, row, clear_draft=not is_waiting, take_waiting=is_waiting
            ),
            message=name,
            text=text,
            sent=is_waiting,
        )
        answer = self.new_id("r")
        reply = MessageRow(answer, tree, name, "assistant", "", state="streaming")
        self.parents[answer] = name
        self.set_tip(
            session,
            answer,
            lambda database: database.begin_reply(session, reply, prompt_token_ids=[1, 2, 3]),
        )
        for start in range(0, self.random.randint(1, 4) * TOKENS_PER_TICK, TOKENS_PER_TICK):
            for token_id in range(start, start + TOKENS_PER_TICK):
                self.store.stream(answer, f"{token_id} ", token_id)
            self.store.flush().result()
            say("ack", reply=answer, num_tokens=start + TOKENS_PER_TICK)
        if self.random.random() < 0.8:
            self.store.finish(answer, ReplyEnd("done", "stop"))
            self.store.flush().result()
            say("ack", finished=answer)

    def fork(self, session: str) -> None:
        name, tree = self.new_id("s"), self.tree_of(session)
        row = SessionRow(id=name, tree_id=tree, tip_id=self.tips[session], origin_id=session)
        self.set_tip(name, row.tip_id, lambda database: database.create_session(row))
        self.waiting[name] = []
        self.segments.share(session, name)

    def rewind(self, session: str) -> None:
        tip = self.tips[session]
        tip = self.parents[tip] if tip is not None else None
        self.set_tip(session, tip, lambda database: database.move_tip(session, tip, push_undo=True))

    def delete(self, session: str) -> None:
        if len(self.tips) == 1:
            return
        self.do(lambda database: database.delete_session(session, 1.0), deleted=session)
        self.segments.forget(session)
        del self.tips[session], self.waiting[session]
        self.deleted.append(session)

    def purge(self, session: str) -> None:
        self.do(lambda database: database.purge(), purged=self.deleted)
        self.deleted = []

    def come_and_go(self, session: str) -> None:
        name = self.new_session()
        self.send(name)
        self.delete(name)
        self.purge(name)

    def type(self, session: str) -> None:
        self.store.keep_draft(session, f"draft of {session} {self.num_ids}")
        say("try", draft=session, text=f"draft of {session} {self.num_ids}")
        self.store.flush().result()
        say("ack", draft=session, text=f"draft of {session} {self.num_ids}")

    def wait_in_line(self, session: str) -> None:
        text = f"waiting {self.new_id('w')}"
        self.do(lambda database: database.enqueue_prompt(session, text), waiting=text)
        self.waiting[session].append(text)

    def send_waiting(self, session: str) -> None:
        if self.waiting[session]:
            self.send(session, is_waiting=True)

    def label(self, session: str) -> None:
        tip = self.tips[session]
        if tip is not None:
            self.do(lambda database: database.set_label(tip, f"label {tip}"), labeled=tip)

    def back_up(self, session: str) -> None:
        self.do(lambda database: database.back_up(), backed_up=True)

    def index(self, session: str) -> None:
        self.do(lambda database: database.index_slice(), indexed=True)

    def save_blocks(self, session: str) -> None:
        number = self.random.randrange(10**6)
        segment = make_segment(number)
        saved = self.segments.save(session, [segment], segment.index.keys)
        if saved is not None and saved.result():
            say("ack", segment=number)

    def run(self) -> None:
        self.new_session()
        self.new_session()
        actions: list[Callable[[str], None]] = [
            self.send, self.send, self.send, self.fork, self.rewind, self.delete, self.purge,
            self.type, self.wait_in_line, self.send_waiting, self.label, self.back_up, self.index,
            self.save_blocks, self.save_blocks, self.come_and_go,
        ]  # fmt: skip
        for _ in range(NUM_ACTIONS):
            self.random.choice(actions)(self.random.choice(list(self.tips)))
        self.segments.close()
        self.store.close()


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            kill_at(order["kill_at"])
            with DataDir(Path(order["directory"])) as directory:
                Talk(directory.path, order["seed"]).run()
            say("hits", num_hits=num_hits)
            os._exit(0)
        say("child", pid=child)
        _, status = os.waitpid(child, 0)
        say("end", status=status)


if __name__ == "__main__":
    main()
