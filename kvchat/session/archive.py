"""Archive: what a runtime offers over all stored chats: search, prompt history, the trash."""

from dataclasses import dataclass, replace

from kvchat.clean_text import storable
from kvchat.errors import InvalidArgument
from kvchat.session.host import SessionHost
from kvchat.session.import_text import import_text
from kvchat.session.session import Session
from kvchat.store.database import Database
from kvchat.store.rows import MessageRow, SessionRow
from kvchat.store.search import SearchHit as SearchHit


@dataclass(frozen=True, slots=True)
class DeletedSession:
    """A session in the trash."""

    id: str
    title: str
    deleted_at: float
    """Unix seconds, for display."""
    num_messages: int


class Archive:
    """The stored chats of one runtime; a part of ChatRuntime, for any thread."""

    host: SessionHost

    def search(self, query: str, limit: int = 50) -> tuple[SearchHit, ...]:
        """Return messages that hold all words of a query, in any case, the newest first.

        A word is found anywhere, also inside others and in scripts without spaces. Any text is a
        query. Not found are messages of deleted sessions, hidden ones, and replies that stream.
        """
        hits: list[SearchHit] = []
        before: int | None = None
        while len(hits) < limit:  # a page at a time, so that no message waits for a long search
            rest, start = limit - len(hits), before
            page = self.host.save(lambda database: database.search(query, rest, start)).result()  # noqa: B023  # waited for
            hits += page.hits
            before = page.before
            if before is None:
                break
        return tuple(hits)

    def recent_prompts(self, limit: int = 500) -> tuple[str, ...]:
        """Return the prompts sent or cleared last in any session, the newest last, each once."""
        return tuple(self.host.save(lambda database: database.recent_prompts(limit)).result())

    def remember_prompt(self, text: str) -> None:
        """Keep a prompt that was cleared without being sent; see `recent_prompts`."""
        if text.strip():
            self.host.save(lambda database: database.remember_prompt(text))

    def deleted_sessions(self) -> tuple[DeletedSession, ...]:
        """Return the sessions in the trash, the one deleted last first."""
        rows = self.host.save(lambda database: database.list_sessions(deleted=True)).result()
        rows.sort(key=lambda row: row.deleted_at or 0.0, reverse=True)
        return tuple(
            DeletedSession(row.id, row.title, row.deleted_at or 0.0, row.num_messages)
            for row in rows
        )

    def undelete(self, session_id: str) -> Session:
        """Take a session out of the trash; raises SessionNotFound when it is not there."""
        with self.host.lock:
            self.host.check_open()
            if session_id in self.host.sessions:
                return self.host.sessions[session_id]

            def restore(database: Database) -> SessionRow:
                database.undelete_session(session_id)
                return database.session(session_id)

            return self.host.add_again(self.host.save(restore).result())

    def import_session(self, text: str, title: str | None = None) -> Session:
        """Make a session of kvchat JSON, with its whole tree, or of Markdown.

        Ids stay as they were, or are all new where one of them is stored here already. Token ids
        are used where this model would have made the same of the text; else the text is encoded
        again. Raises InvalidArgument with one sentence for a text that makes no sense.
        """
        chat = import_text(text)
        wanted = replace(chat.session, title=storable(title or chat.session.title))
        try:
            self.host.check_window(wanted.window, wanted.sinks)
        except InvalidArgument:  # another model's; this one sees what fits
            wanted = replace(wanted, window=None)
        with self.host.lock:
            self.host.check_open()
            wanted = replace(wanted, tag_index=self.host.next_tag_index())
        messages = tuple(self._with_window_that_fits(row) for row in chat.messages)
        row = self.host.save(lambda database: database.import_chat(wanted, messages)).result()
        self.host.prove_imported(row.tree_id).result()
        with self.host.lock:
            return self.host.add(row)

    def _with_window_that_fits(self, row: MessageRow) -> MessageRow:
        """Return an imported message; under another model's window it was never read here."""
        try:
            self.host.check_window(row.window, row.sinks or 0)
        except InvalidArgument:
            return replace(row, window=None, sinks=None)
        return row

    def purge(self) -> int:
        """Erase the sessions in the trash for ever; return how many there were.

        Messages that another session shares stay. Nothing of the others is left in the database.
        """
        return self.host.save(lambda database: database.purge()).result().num_sessions
