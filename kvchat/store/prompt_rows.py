"""PromptRows: what was typed: drafts, prompts that wait for a reply to end, and the history."""

import sqlite3
from collections.abc import Mapping

from kvchat.clean_text import storable
from kvchat.store.session_rows import update_session
from kvchat.store.transactions import Transactions

MAX_REMEMBERED = 500
"""Prompts that were cleared unsent; older ones are forgotten."""


class PromptRows(Transactions):
    """Reads and changes prompts; a part of Database, which says what every method raises."""

    def set_drafts(self, drafts: Mapping[str, str]) -> None:
        """Keep the texts of prompts that are not sent yet, by session; unknown ones are left out.

        All in one transaction.
        """
        with self.transaction() as connection:
            connection.executemany(
                "UPDATE sessions SET draft = ? WHERE id = ?",
                [(storable(text), session_id) for session_id, text in drafts.items()],
            )

    def enqueue_prompt(self, session_id: str, text: str) -> None:
        """Put a prompt behind those that wait for the session's reply to end."""
        with self.transaction() as connection:
            update_session(connection, session_id, "draft = ?", "")
            connection.execute(
                "INSERT INTO waiting_prompts (session_id, text) VALUES (?, ?)",
                (session_id, storable(text)),
            )

    def unqueue_prompt(self, session_id: str) -> str | None:
        """Take back the prompt that was put there last, and return it."""
        with self.transaction() as connection:
            row = connection.execute(
                "SELECT number, text FROM waiting_prompts WHERE session_id = ?"
                " ORDER BY number DESC LIMIT 1",
                (session_id,),
            ).fetchone()
            if row is None:
                return None
            connection.execute("DELETE FROM waiting_prompts WHERE number = ?", (row[0],))
            return str(row[1])

    def waiting_prompts(self, session_id: str) -> list[str]:
        """Return the prompts that wait, the next one first."""
        return self.read(
            lambda row: str(row[0]),
            "SELECT text FROM waiting_prompts WHERE session_id = ? ORDER BY number",
            (session_id,),
        )

    def return_waiting_prompts(self, session_id: str | None = None) -> None:
        """Move waiting prompts, of one session or of all, in front of the draft, and none waits.

        They are remembered as well: whatever is sent next empties the draft.
        """
        query = "SELECT session_id, text FROM waiting_prompts WHERE session_id = ? ORDER BY number"
        values: tuple[str, ...] = () if session_id is None else (session_id,)
        if session_id is None:
            query = "SELECT session_id, text FROM waiting_prompts ORDER BY number"
        texts: dict[str, list[str]] = {}
        for name, text in self.read(lambda row: (str(row[0]), str(row[1])), query, values):
            texts.setdefault(name, []).append(text)
        if not texts:
            return
        with self.transaction() as connection:
            for name, parts in texts.items():
                (draft,) = connection.execute(
                    "SELECT draft FROM sessions WHERE id = ?", (name,)
                ).fetchone()
                draft = draft_with(parts, draft)
                connection.execute("UPDATE sessions SET draft = ? WHERE id = ?", (draft, name))
                connection.execute("DELETE FROM waiting_prompts WHERE session_id = ?", (name,))
                for text in parts:
                    _remember(connection, text)

    def remember_prompt(self, text: str) -> None:
        """Keep a prompt that was cleared without being sent."""
        with self.transaction() as connection:
            _remember(connection, text)

    def recent_prompts(self, limit: int) -> list[str]:
        """Return the last prompts, sent or remembered, newest last and each text once."""
        rows = self.read(
            lambda row: str(row[0]),
            "SELECT coalesce(h.text, m.text) FROM prompt_history AS h"
            " LEFT JOIN messages AS m ON m.id = h.message_id ORDER BY h.number DESC LIMIT ?",
            (max(0, limit) * 4,),
        )
        newest = list(dict.fromkeys(rows))[: max(0, limit)]
        return newest[::-1]


def draft_with(waiting: list[str], draft: str) -> str:
    """Return a draft with the prompts that were waiting in front of it."""
    return "\n\n".join(part for part in (*waiting, draft) if part)


def note_sent(connection: sqlite3.Connection, message_id: str) -> None:
    """Record inside a transaction that a user message was just sent."""
    connection.execute("INSERT INTO prompt_history (message_id) VALUES (?)", (message_id,))


def remove_first_waiting(connection: sqlite3.Connection, session_id: str) -> None:
    """Remove the prompt that waits first, inside the transaction that sends it."""
    connection.execute(
        "DELETE FROM waiting_prompts WHERE number ="
        " (SELECT min(number) FROM waiting_prompts WHERE session_id = ?)",
        (session_id,),
    )


def _remember(connection: sqlite3.Connection, text: str) -> None:
    connection.execute("INSERT INTO prompt_history (text) VALUES (?)", (storable(text),))
    connection.execute(
        "DELETE FROM prompt_history WHERE text IS NOT NULL AND number <= ("
        " SELECT number FROM prompt_history WHERE text IS NOT NULL"
        " ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (MAX_REMEMBERED,),
    )
