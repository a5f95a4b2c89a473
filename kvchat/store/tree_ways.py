"""TreeWays: which messages of one tree the sessions lie on, and what goes with deleted sessions."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from kvchat.store.transactions import Transactions


@dataclass(frozen=True, slots=True)
class SessionPlace:
    """One session of a tree and where it stands, or stood and can return to."""

    id: str
    title: str
    is_deleted: bool
    tip_id: str | None
    undo_tip_ids: tuple[str | None, ...]


class TreeWays:
    """A tree as it is stored now: its messages, its sessions and their ways from the root."""

    sessions: tuple[SessionPlace, ...]
    """Deleted ones too; the one used last stands first."""

    def __init__(self, database: Transactions, tree_id: str) -> None:
        self._parents: dict[str, str | None] = {}
        self.hidden: set[str] = set()
        """Messages that are hidden, and all below them."""
        for message_id, parent_id, is_hidden in database.read(
            lambda row: (str(row[0]), None if row[1] is None else str(row[1]), bool(row[2])),
            "SELECT id, parent_id, is_hidden FROM messages WHERE tree_id = ? ORDER BY number",
            (tree_id,),
        ):
            self._parents[message_id] = parent_id
            if is_hidden or parent_id in self.hidden:
                self.hidden.add(message_id)
        self.sessions = tuple(
            database.read(
                _session_place,
                "SELECT id, title, deleted_at IS NOT NULL, tip_id, undo_tips FROM sessions"
                " WHERE tree_id = ? ORDER BY use_order DESC",
                (tree_id,),
            )
        )

    def way_to(self, *tip_ids: str | None) -> set[str]:
        """Return all messages between the root and some tips, the tips included."""
        way: set[str] = set()
        for tip_id in tip_ids:
            while tip_id is not None and tip_id not in way:
                way.add(tip_id)
                tip_id = self._parents.get(tip_id)
        return way

    def left_to_deleted(self) -> set[str]:
        """Return the messages that go when the deleted sessions of this tree are purged.

        These are the messages on their ways, and what hangs below those, that no other session
        stands on or can return to; in a tree that has deleted sessions only, all of them.
        """
        deleted = [each for each in self.sessions if each.is_deleted]
        if len(deleted) == len(self.sessions):
            return set(self._parents)
        if not deleted:
            return set()
        kept = self._ways_of(each for each in self.sessions if not each.is_deleted)
        going = self._ways_of(deleted) - kept
        for message_id, parent_id in self._parents.items():  # parents come first
            if parent_id in going:
                going.add(message_id)
        return going

    def _ways_of(self, sessions: Iterable[SessionPlace]) -> set[str]:
        return self.way_to(*(tip for each in sessions for tip in (each.tip_id, *each.undo_tip_ids)))


def _session_place(row: tuple[object, ...]) -> SessionPlace:
    session_id, title, is_deleted, tip_id, undo_tips = row
    return SessionPlace(
        str(session_id),
        str(title),
        bool(is_deleted),
        None if tip_id is None else str(tip_id),
        tuple(json.loads(str(undo_tips))),
    )
