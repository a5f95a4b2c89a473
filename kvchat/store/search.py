"""Full-text search over all messages: words anywhere in them, in any case, in any script.

What a text must hold is decided by `contains`, in Python and for every hit. The index, where SQLite
has FTS5, only narrows down where to look: it knows which messages have which three characters in a
row, so that Chinese and Japanese, which put no spaces between words, are found like any other text.
Words of one or two characters, and all words where there is no FTS5, are looked for in every text.

Messages are recorded in `search_gaps` in the transaction that ends them and move into the index
later, when the store is idle, so that no message waits for the index or is lost with it. A gap is
searched like the rest. The index can be dropped at any time; then everything is a gap.
"""

import logging
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import merge
from itertools import islice

from kvchat.clean_text import storable
from kvchat.errors import DatabaseDamaged
from kvchat.store.rows import Role
from kvchat.store.transactions import Transactions
from kvchat.store.tree_ways import SessionPlace, TreeWays

_LOG = logging.getLogger(__name__)

INDEX_TABLE = "search_index"
MAX_WORDS = 32
MAX_GRAMS = 64
SNIPPET_LENGTH = 96
GAPS_WORTH_INDEXING = 64
CHARACTERS_PER_SLICE = 1 << 16
MESSAGES_PER_LOOK = 4000
_BEHIND_ALL = 1 << 62


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One message that holds all words of a query, and a session to read it in."""

    session_id: str
    """Of the sessions on whose way it lies the one used last; where it lies on nobody's way, since
    they went back before it, the session of its tree that was used last."""
    message_id: str
    title: str
    role: Role
    snippet: str
    """One line around the first word found; it is not made safe for a screen."""
    created_at: float


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Some hits, newest first, and where to look on."""

    hits: tuple[SearchHit, ...]
    before: int | None
    """What to hand to the next call; None when every message was looked at."""


def words_of(query: str) -> tuple[str, ...]:
    """Return the words a text must hold, as `contains` compares them; any text is a query."""
    return tuple(dict.fromkeys(storable(query).lower().split()))[:MAX_WORDS]


def contains(text: str, words: Iterable[str]) -> bool:
    """Say whether a text holds all words, anywhere and in any case."""
    text = text.lower()
    return all(word in text for word in words)


def snippet_of(text: str, words: Iterable[str]) -> str:
    """Return one line of a text around the first of these words in it."""
    folded = text.lower()
    if len(folded) != len(text):  # a few letters change their length with their case
        folded = text
    places = [place for place in map(folded.find, words) if place >= 0]
    start = max(0, min(places, default=0) - SNIPPET_LENGTH // 3)
    end = start + SNIPPET_LENGTH
    line = " ".join(text[start:end].split())
    return ("…" if start else "") + line + ("…" if end < len(text) else "")


class SearchRows(Transactions):
    """The search index, and searching; a part of Database."""

    num_gaps: int = 0
    """About how many messages wait to be indexed; the next slice counts them."""
    has_index: bool = False

    def open_index(self) -> None:
        """Make the index if it is missing and SQLite can; without it every message is a gap."""
        modules = "SELECT 1 FROM pragma_module_list WHERE name = 'fts5'"
        self.has_index = bool(self.read(bool, modules))
        self.num_gaps = self._count_gaps()
        if self.has_index:
            found = self.read(bool, f"SELECT 1 FROM sqlite_master WHERE name = '{INDEX_TABLE}'")
            if not found:
                with self.transaction() as connection:
                    self.void_index(connection)

    def void_index(self, connection: sqlite3.Connection) -> None:
        """Empty the index inside a transaction; its messages are searched one by one meanwhile."""
        if self.has_index:
            connection.execute(f"DROP TABLE IF EXISTS {INDEX_TABLE}")
            # Which messages have which three characters is enough to narrow down, and takes a
            # third of the room that their places would.
            connection.execute(
                f"CREATE VIRTUAL TABLE {INDEX_TABLE} USING fts5(text, content = '',"
                " tokenize = 'trigram', detail = none, columnsize = 0)"
            )
        else:
            _empty_without_fts5(connection)
        connection.execute(
            "INSERT OR IGNORE INTO search_gaps"
            " SELECT number FROM messages WHERE state != 'streaming'"
        )
        (self.num_gaps,) = connection.execute("SELECT count(*) FROM search_gaps").fetchone()

    @property
    def wants_indexing(self) -> bool:
        """Whether enough messages wait that indexing a slice of them is worth a commit."""
        return self.has_index and self.num_gaps >= GAPS_WORTH_INDEXING

    def index_slice(self) -> None:
        """Move some messages into the index; a damaged index is begun again."""
        try:
            with self.transaction() as connection:
                _index_some(connection)
        except DatabaseDamaged:
            self._begin_again()
        self.num_gaps = self._count_gaps()

    def _begin_again(self) -> None:
        _LOG.warning("the search index is damaged and is made again")
        with self.transaction() as connection:
            self.void_index(connection)

    def _count_gaps(self) -> int:
        return sum(self.read(lambda row: int(str(row[0])), "SELECT count(*) FROM search_gaps"))

    def search(self, query: str, limit: int, before: int | None = None) -> SearchPage:
        """Return up to `limit` messages that hold all words of a query, newest first.

        Looks at no more than MESSAGES_PER_LOOK texts; to look on, call it again with `before` of
        the page. Messages of deleted sessions, hidden ones, and replies still streaming are not
        found.
        """
        words = words_of(query)
        if not words or limit < 1:
            return SearchPage((), None)
        try:
            numbers = self._candidates(words, _BEHIND_ALL if before is None else before)
        except DatabaseDamaged:
            self._begin_again()
            numbers = self._candidates(words, _BEHIND_ALL if before is None else before)
        readers = _Readers(self)
        hits: list[SearchHit] = []
        for number in numbers:
            for found in self.read(
                _Found.of,
                "SELECT id, tree_id, role, text, created_at FROM messages"
                " WHERE number = ? AND state != 'streaming'",
                (number,),
            ):
                if not contains(found.text, words):
                    continue
                session = readers.session_of(found.id, found.tree_id)
                if session is not None:
                    hits.append(found.hit(session, words))
            if len(hits) == limit:
                return SearchPage(tuple(hits), number)
        is_end = len(numbers) < MESSAGES_PER_LOOK
        return SearchPage(tuple(hits), None if is_end else numbers[-1])

    def _candidates(self, words: tuple[str, ...], before: int) -> list[int]:
        """Return the messages that may hold the words, newest first, at most MESSAGES_PER_LOOK."""

        def numbers(query: str, *values: object) -> list[int]:
            query = f"{query} ORDER BY 1 DESC LIMIT {MESSAGES_PER_LOOK}"
            return self.read(lambda row: int(str(row[0])), query, values)

        grams = _grams_of(words)
        if not self.has_index or not grams:
            return numbers("SELECT number FROM messages WHERE number < ?", before)
        expression = " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams)
        indexed = numbers(
            f"SELECT rowid FROM {INDEX_TABLE} WHERE {INDEX_TABLE} MATCH ? AND rowid < ?",
            expression,
            before,
        )
        gaps = numbers("SELECT number FROM search_gaps WHERE number < ?", before)
        return list(islice(merge(indexed, gaps, reverse=True), MESSAGES_PER_LOOK))


def _empty_without_fts5(connection: sqlite3.Connection) -> None:
    """Bring an index that another program made to the state in which FTS5 makes an empty one."""
    if not connection.execute(
        "SELECT 1 FROM sqlite_master WHERE name = ?", (f"{INDEX_TABLE}_data",)
    ).fetchone():
        return
    connection.execute(f"DELETE FROM {INDEX_TABLE}_idx")
    connection.execute(f"DELETE FROM {INDEX_TABLE}_data WHERE id NOT IN (1, 10)")
    connection.execute(f"UPDATE {INDEX_TABLE}_data SET block = x'' WHERE id = 1")
    connection.execute(f"UPDATE {INDEX_TABLE}_data SET block = zeroblob(7) WHERE id = 10")


def _grams_of(words: Iterable[str]) -> list[str]:
    """Return pieces of three characters that a text with these words has; the index knows them."""
    grams = (word[at : at + 3] for word in words for at in range(len(word) - 2))
    return list(islice(dict.fromkeys(grams), MAX_GRAMS))


def _index_some(connection: sqlite3.Connection) -> None:
    num_characters = 0
    rows = connection.execute(
        "SELECT m.number, m.text FROM search_gaps AS g JOIN messages AS m ON m.number = g.number"
        " WHERE m.state != 'streaming' ORDER BY g.number LIMIT ?",
        (GAPS_WORTH_INDEXING,),
    )
    for number, text in rows.fetchall():
        connection.execute(
            f"INSERT INTO {INDEX_TABLE} (rowid, text) VALUES (?, ?)", (number, text.lower())
        )
        connection.execute("DELETE FROM search_gaps WHERE number = ?", (number,))
        num_characters += len(text)
        if num_characters > CHARACTERS_PER_SLICE:
            break


@dataclass(frozen=True, slots=True)
class _Found:
    """What is read of a message that may be a hit."""

    id: str
    tree_id: str
    role: Role
    text: str
    created_at: float

    @classmethod
    def of(cls, row: tuple[object, ...]) -> "_Found":
        return cls(*row)  # type: ignore[arg-type]  # the schema's checks say what they are

    def hit(self, session: SessionPlace, words: tuple[str, ...]) -> SearchHit:
        snippet = snippet_of(self.text, words)
        return SearchHit(session.id, self.id, session.title, self.role, snippet, self.created_at)


class _Readers:
    """Which session shows which message, and which messages only deleted sessions show."""

    def __init__(self, database: Transactions) -> None:
        self._database = database
        self._trees: dict[str, tuple[list[tuple[SessionPlace, set[str]]], set[str]]] = {}

    def session_of(self, message_id: str, tree_id: str) -> SessionPlace | None:
        if tree_id not in self._trees:
            ways = TreeWays(self._database, tree_id)
            live = [
                (place, ways.way_to(place.tip_id))
                for place in ways.sessions
                if not place.is_deleted
            ]
            self._trees[tree_id] = live, ways.left_to_deleted() | ways.hidden
        live, left = self._trees[tree_id]
        if not live or message_id in left:
            return None
        return next((place for place, way in live if message_id in way), live[0][0])
