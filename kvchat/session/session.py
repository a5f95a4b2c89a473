"""Session: one conversation as its user sees it.

Its parts: Conversation (the tip and its path), Talking (send, edit, regenerate), Branching (fork,
rewind, undo), Tree (visit, label, hide), Prompting (draft, waiting prompts). Here are its settings,
its figures and its end.
"""

from dataclasses import replace
from time import time

from kvchat.engine.sequence import ResumeCost
from kvchat.errors import InvalidArgument
from kvchat.session.export import EXPORT_FORMS, ExportForm, export_chat
from kvchat.session.exported_chat import read_chat
from kvchat.session.path_windows import AUTO_SINKS as AUTO_SINKS
from kvchat.session.prompting import Prompting
from kvchat.session.rewind_plan import RewindPlan as RewindPlan
from kvchat.session.session_state import SessionState as SessionState
from kvchat.session.session_state import SessionStats as SessionStats


class Session(Prompting):
    """A conversation; made by `ChatRuntime.new_session`, usable from any thread.

        print(chat.send("Tell me a story.").wait().text)
        for message in chat.messages:
            print(message.role, message.num_tokens, message.text)
        chat.regenerate().wait()                        # another answer beside the first
        chat.undo()                                     # back to the first
        chat.label("a good place")

    Messages form a tree whose nodes never change; a session stands on one of them, its tip, and
    every move can be taken back with `undo`, also after a restart.
    """

    def stats(self) -> SessionStats:
        """Return figures; waits for nothing."""
        with self._host.lock:
            num_tokens = self._num_tokens()
        reply = self._reply
        num_prefilled = 0
        if reply is not None and reply.prefill_tokens_per_second:  # else nothing was computed yet
            num_prefilled = reply.num_prompt_tokens - reply.num_cached_tokens
        num_blocks, num_shared = self._host.num_blocks(self.id)
        num_seen = num_tokens
        if self._row.window is not None:
            num_seen = min(num_tokens, self._row.window + self.num_sink_tokens)
        return SessionStats(
            num_tokens,
            reply.num_cached_tokens if reply is not None else 0,
            num_prefilled,
            reply.num_generated_tokens if reply is not None else 0,
            reply.prefill_tokens_per_second if reply is not None else 0.0,
            reply.decode_tokens_per_second if reply is not None else 0.0,
            num_blocks,
            num_shared,
            num_seen,
        )

    def set_window(self, window: int | None, sinks: int | None = None) -> RewindPlan:
        """Let the model see the first `sinks` and the last `window` tokens; None sees all.

            plan = chat.set_window(256)
            print(plan.num_prefill_tokens)          # 1: what was read stays read

        `sinks` None leaves them as they are, which for most sessions is the system prompt.
        Counts from the next message on. What was said before is never read otherwise than it was:
        its window is stored with it, also for forks, rewinds and a restart. A smaller window gives
        blocks back at once; a larger one sees again what pool or disk still have, and where that is
        gone the next message reads it once more, each part under the window of then. Returns what
        is to be read. Raises SessionBusy while a reply runs, InvalidArgument for an impossible
        window.
        """
        stored = self._row.sinks if sinks is None else sinks
        self._host.check_window(window, stored)
        with self._host.lock:
            self._check_idle()
            self._row = replace(self._row, window=window, sinks=stored)
            session_id = self.id
            self._host.save(lambda database: database.set_window(session_id, window, stored))
            reading = self._reading()
            known = self._host.change_window(self._row, reading)
            return RewindPlan(len(reading.token_ids), known)

    def save(self) -> None:
        """Wait until the disk has all of it, so that after a restart nothing is read again.

        Text is saved as it is said, and what the model computed soon after each turn; this waits
        for both. Does nothing more where keys and values are not kept. Raises NotSaving,
        EngineStopped.
        """
        self._check_open()
        self._host.save_blocks(self.id)

    def unload(self) -> None:
        """Save what is computed of the session and give its blocks to others; see `load`.

            chat.unload()                                   # when it is not needed for a while
            print(chat.resume_cost().num_prefill_tokens)    # 0: pool or disk still have all of it

        Blocks stay readable in the pool until somebody needs the room. Waits for the disk; without
        one the session is read again when they are gone. Raises SessionBusy while a reply runs,
        NotSaving, EngineStopped.
        """
        with self._host.lock:
            self._check_idle()
        self._host.save_blocks(self.id)
        with self._host.lock:
            self._check_idle()  # somebody may have sent something meanwhile
            self._host.release(self.id)

    def load(self) -> None:
        """Bring back what disk has of the session, before its next message needs it.

        Returns at once; `resume_cost` says how far it is. Does nothing while a reply runs.
        """
        with self._host.lock:
            self._check_open()
            self._host.load(self._row, self._reading())

    def resume_cost(self) -> ResumeCost:
        """Return where the session's tokens are: in the pool, on disk, or to be computed again.

            cost = chat.resume_cost()
            print(cost.num_resident_tokens, cost.num_disk_tokens, cost.num_prefill_tokens)

        Waits for the engine, until the model is loaded. Raises EngineStopped.
        """
        with self._host.lock:
            self._check_open()
            reading = self._reading()
            known = self._host.plan(self._row, reading)
        resident, on_disk = known.result()
        missing = len(reading.token_ids) - resident - on_disk
        return ResumeCost(self.id, resident, on_disk, missing)

    def export(self, form: ExportForm, *, first: str | None = None) -> str:
        """Return the conversation as Markdown ("md"), HTML, or JSON for `import_session`.

        JSON holds the whole tree with exact token ids, the others what the session shows, from the
        message `first` on. None ever holds keys and values. Raises InvalidArgument for a `first`
        the session does not show, or with JSON.
        """
        if form not in EXPORT_FORMS:
            raise InvalidArgument(f"A chat is exported as md, json or html, not as {form!r}.")
        session_id = self.id
        chat = self._host.save(lambda database: read_chat(database, session_id)).result()
        return export_chat(chat, form, first)

    def close(self) -> None:
        """Put the session aside: stop its reply, save what is computed, give its blocks back.

            chat.close()
            chat = runtime.open_session(chat.id)        # goes on where it was

        Its text stays, and it is listed again at the next start; until then `open_session` brings
        it back. This object then refuses everything with SessionClosed.
        """
        with self._host.lock:
            self._check_open()
            self._stop_and_detach()
            self._is_closed = True
        self._host.put_aside(self)

    def delete(self) -> None:
        """Put the session away; its text stays in the store until it is purged."""
        with self._host.lock:
            self._check_open()
            self._stop_and_detach()
            self._is_closed = True
        session_id, at = self.id, time()
        self._host.save(lambda database: database.delete_session(session_id, at))
        self._host.remove(self)
