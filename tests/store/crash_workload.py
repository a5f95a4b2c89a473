"""A program that talks and is killed: run by test_crash.py, which checks what it left behind.

Reads one JSON object per line: {"directory", "seed", "kill_at"}. For each it forks a child that
does random work on the store in that directory and says on stdout, as JSON lines, what it is about
to do ("try") and what was acknowledged ("ack"); at its `kill_at`-th fault point it kills itself.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path

from kvchat import errors
from kvchat.durable_files import DataDirLock, remove_stumps
from kvchat.store.rows import MessageRow, ReplyEnd, SessionRow
from kvchat.store.store_thread import StoreThread

NUM_ACTIONS = 40
TOKENS_PER_TICK = 8


def say(kind: str, **values: object) -> None:
    os.write(1, json.dumps({"say": kind} | values).encode() + b"\n")


def kill_at(hit: int) -> None:
    num_hits = 0

    def hook(point: str) -> None:
        nonlocal num_hits
        num_hits += 1
        if num_hits == hit:
            os.kill(os.getpid(), signal.SIGKILL)

    errors.fault_hook = hook


class Talk:
    """Three sessions and what happens to them, in an order the seed decides."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.store = StoreThread(directory / "chats.db", tick_seconds=3600.0, tick_tokens=10**9)
        self.tips: dict[str, str | None] = {}
        self.parents: dict[str, str | None] = {}
        self.num_ids = 0

    def new_id(self, kind: str) -> str:
        self.num_ids += 1
        return f"{kind}{self.num_ids}"

    def set_tip(self, session: str, tip: str | None, job: object) -> None:
        say("try", session=session, tip=tip)
        self.store.submit(job).result()  # type: ignore[arg-type]
        say("ack", session=session, tip=tip)
        self.tips[session] = tip

    def new_session(self) -> None:
        name = self.new_id("s")
        row = SessionRow(id=name, tree_id="t", title=f"title {name}")
        self.set_tip(name, None, lambda database: database.create_session(row))

    def send(self, session: str) -> None:
        name = self.new_id("u")
        text = f"question {name} " * self.random.randint(1, 200)
        row = MessageRow(name, "t", self.tips[session], "user", text)
        self.parents[name] = row.parent_id
        self.set_tip(session, name, lambda database: database.add_message(session, row))
        say("ack", message=name, text=text)
        answer = self.new_id("r")
        reply = MessageRow(answer, "t", name, "assistant", "", state="streaming")
        self.parents[answer] = name
        self.set_tip(
            session,
            answer,
            lambda database: database.begin_reply(session, reply, prompt_token_ids=[1, 2, 3]),
        )
        for start in range(0, self.random.randint(1, 6) * TOKENS_PER_TICK, TOKENS_PER_TICK):
            for token_id in range(start, start + TOKENS_PER_TICK):
                self.store.stream(answer, f"{token_id} ", token_id)
            self.store.flush().result()
            say("ack", reply=answer, num_tokens=start + TOKENS_PER_TICK)
        if self.random.random() < 0.8:
            self.store.finish(answer, ReplyEnd("done", "stop"))
            self.store.flush().result()
            say("ack", finished=answer)

    def fork(self, session: str) -> None:
        name = self.new_id("s")
        row = SessionRow(id=name, tree_id="t", tip_id=self.tips[session], origin_id=session)
        self.set_tip(name, row.tip_id, lambda database: database.create_session(row))

    def rewind(self, session: str) -> None:
        tip = self.tips[session]
        tip = self.parents[tip] if tip is not None else None
        self.set_tip(session, tip, lambda database: database.move_tip(session, tip, push_undo=True))

    def delete(self, session: str) -> None:
        say("try", deleted=session)
        self.store.submit(lambda database: database.delete_session(session, 1.0)).result()
        say("ack", deleted=session)
        del self.tips[session]

    def run(self) -> None:
        for _ in range(3):
            self.new_session()
        for _ in range(NUM_ACTIONS):
            session = self.random.choice(list(self.tips))
            action = self.random.choice((self.send, self.send, self.fork, self.rewind, self.delete))
            if action == self.delete and len(self.tips) == 1:
                action = self.send
            action(session)
        self.store.close()


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            kill_at(order["kill_at"])
            directory = Path(order["directory"])
            lock = DataDirLock(directory)
            remove_stumps(directory)
            Talk(directory, order["seed"]).run()
            lock.release()
            os._exit(0)
        say("child", pid=child)
        _, status = os.waitpid(child, 0)
        say("end", status=status)


if __name__ == "__main__":
    main()
