"""How the schema of the chat database came to be: numbered steps, only ever added to.

Each step runs in one transaction together with the row that records it, so a crash leaves the
schema before it or after it. A released step is never edited.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable

from kvchat.errors import fault
from kvchat.store.rows import system_key

APPLICATION_ID = 0x6B766368
"""Marks a SQLite file as a chat database: "kvch" in the file's header."""


def m001_sessions_and_messages(connection: sqlite3.Connection) -> None:
    """Message trees, and the sessions that point into them."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("""
        CREATE TABLE messages (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            tree_id TEXT NOT NULL,
            parent_id TEXT REFERENCES messages (id),
            depth INTEGER NOT NULL,
            role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
            text TEXT NOT NULL,
            token_ids BLOB NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('done', 'streaming', 'interrupted', 'failed')),
            created_at REAL NOT NULL,
            model_name TEXT,
            seed TEXT,
            finish_reason TEXT,
            error TEXT,
            num_cached_tokens INTEGER NOT NULL,
            decode_tokens_per_second REAL NOT NULL
        )""")
    connection.execute("CREATE INDEX messages_by_parent ON messages (tree_id, parent_id, number)")
    connection.execute(
        "CREATE INDEX messages_streaming ON messages (state) WHERE state = 'streaming'"
    )
    connection.execute("""
        CREATE TABLE sessions (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            tree_id TEXT NOT NULL,
            title TEXT NOT NULL,
            system TEXT,
            sampling TEXT NOT NULL,
            window INTEGER,
            sinks INTEGER NOT NULL,
            tip_id TEXT REFERENCES messages (id),
            origin_id TEXT,
            tag_index INTEGER NOT NULL,
            created_at REAL NOT NULL,
            template_date TEXT,
            draft TEXT NOT NULL,
            deleted_at REAL,
            use_order INTEGER NOT NULL,
            undo_tips TEXT NOT NULL DEFAULT '[]'
        )""")


def m002_segments(connection: sqlite3.Connection) -> None:
    """Files with saved keys and values, and which sessions use them."""
    connection.execute("""
        CREATE TABLE segments (
            name TEXT NOT NULL PRIMARY KEY,
            model_digest TEXT NOT NULL,
            scheme TEXT NOT NULL,
            block_size INTEGER NOT NULL,
            schedule TEXT NOT NULL,
            first_block INTEGER NOT NULL,
            num_tokens INTEGER NOT NULL,
            keys BLOB NOT NULL,
            stems BLOB NOT NULL,
            token_ids BLOB NOT NULL,
            places BLOB NOT NULL,
            checksums BLOB NOT NULL,
            num_bytes INTEGER NOT NULL,
            use_order INTEGER NOT NULL
        ) WITHOUT ROWID""")
    connection.execute("""
        CREATE TABLE session_segments (
            session_id TEXT NOT NULL REFERENCES sessions (id),
            name TEXT NOT NULL REFERENCES segments (name) ON DELETE CASCADE,
            PRIMARY KEY (session_id, name)
        ) WITHOUT ROWID""")
    connection.execute("CREATE INDEX session_segments_by_name ON session_segments (name)")


def m003_search_and_prompts(connection: sqlite3.Connection) -> None:
    """Messages that the search index does not know yet, waiting prompts, and the prompt history."""
    connection.execute("""
        CREATE TABLE search_gaps (
            number INTEGER PRIMARY KEY REFERENCES messages (number) ON DELETE CASCADE
        )""")
    connection.execute(
        "INSERT INTO search_gaps SELECT number FROM messages WHERE state != 'streaming'"
    )
    connection.execute("""
        CREATE TABLE waiting_prompts (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            session_id TEXT NOT NULL REFERENCES sessions (id),
            text TEXT NOT NULL
        )""")
    connection.execute("CREATE INDEX waiting_by_session ON waiting_prompts (session_id, number)")
    connection.execute("""
        CREATE TABLE prompt_history (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            text TEXT,
            message_id TEXT REFERENCES messages (id) ON DELETE CASCADE,
            CHECK ((text IS NULL) != (message_id IS NULL))
        )""")
    connection.execute("CREATE INDEX prompt_history_by_message ON prompt_history (message_id)")
    connection.execute(
        "INSERT INTO prompt_history (message_id)"
        " SELECT id FROM messages WHERE role = 'user' ORDER BY number"
    )
    connection.execute("CREATE INDEX sessions_by_tree ON sessions (tree_id)")
    connection.execute("CREATE INDEX messages_by_parent_alone ON messages (parent_id)")
    connection.execute("CREATE INDEX sessions_by_tip ON sessions (tip_id)")


def m004_branches_and_alternatives(connection: sqlite3.Connection) -> None:
    """Labels, hidden and edited messages, tips that were visited, alternatives of tokens."""
    for column in (
        "is_edited INTEGER NOT NULL DEFAULT 0",
        "label TEXT",
        "notice TEXT",
        "system_key TEXT",
        "is_hidden INTEGER NOT NULL DEFAULT 0",
    ):
        connection.execute(f"ALTER TABLE messages ADD COLUMN {column}")
    connection.execute("ALTER TABLE sessions ADD COLUMN undo_changes TEXT NOT NULL DEFAULT '[]'")
    # Until now all sessions of a tree had one system prompt.
    trees = connection.execute("SELECT DISTINCT tree_id, system FROM sessions").fetchall()
    connection.executemany(
        "UPDATE messages SET system_key = ?"
        " WHERE tree_id = ? AND role = 'user' AND length(token_ids) > 0",
        [(system_key(system), tree_id) for tree_id, system in trees],
    )
    connection.execute("""
        CREATE TABLE token_alternatives (
            message_id TEXT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
            first_token INTEGER NOT NULL,
            records BLOB NOT NULL,
            PRIMARY KEY (message_id, first_token)
        ) WITHOUT ROWID""")
    connection.execute("""
        CREATE TABLE visits (
            session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
            message_id TEXT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            PRIMARY KEY (session_id, message_id)
        ) WITHOUT ROWID""")
    connection.execute("CREATE INDEX visits_by_message ON visits (message_id)")


def m005_imported_token_ids(connection: sqlite3.Connection) -> None:
    """Token ids of imported messages, apart from those that may be computed with."""
    connection.execute("""
        CREATE TABLE imported_token_ids (
            number INTEGER PRIMARY KEY REFERENCES messages (number) ON DELETE CASCADE,
            token_ids BLOB NOT NULL
        )""")


def m006_windows_of_messages(connection: sqlite3.Connection) -> None:
    """Under which window each message is read, which was that of its session until now."""
    connection.execute("ALTER TABLE messages ADD COLUMN window INTEGER")
    connection.execute("ALTER TABLE messages ADD COLUMN sinks INTEGER")
    sessions = connection.execute(
        "SELECT tree_id, tip_id, window, iif(window IS NULL, 0, sinks) FROM sessions"
        " ORDER BY tree_id, deleted_at IS NULL, use_order"
    ).fetchall()
    pairs = {(tree_id, window, sinks) for tree_id, _, window, sinks in sessions}
    mixed = {tree_id for tree_id, count in Counter(pair[0] for pair in pairs).items() if count > 1}
    by_tree = {tree_id: (window, sinks, tree_id) for tree_id, _, window, sinks in sessions}
    connection.executemany(
        "UPDATE messages SET window = ?, sinks = ? WHERE tree_id = ?", by_tree.values()
    )
    # Sessions of one tree may have had different ones: the one used last decides what they share.
    connection.executemany(
        """
        WITH RECURSIVE path (id, parent_id) AS (
            SELECT id, parent_id FROM messages WHERE id = ?
            UNION ALL
            SELECT m.id, m.parent_id FROM messages AS m JOIN path ON m.id = path.parent_id
        )
        UPDATE messages SET window = ?, sinks = ? WHERE id IN (SELECT id FROM path)
        """,
        [
            (tip_id, window, sinks)
            for tree_id, tip_id, window, sinks in sessions
            if tip_id is not None and tree_id in mixed
        ],
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    m001_sessions_and_messages,
    m002_segments,
    m003_search_and_prompts,
    m004_branches_and_alternatives,
    m005_imported_token_ids,
    m006_windows_of_messages,
)


def schema_number(connection: sqlite3.Connection) -> int:
    """Return the number of the last step this database has seen; 0 for an empty one."""
    tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'")
    if tables.fetchone() is None:
        return 0
    (number,) = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
    return int(number)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring an older or empty database to the schema of this program.

    The connection must not be in a transaction. Whatever SQLite raises passes through, with the
    step that failed undone and the steps before it kept.
    """
    applied = schema_number(connection)
    for number, step in enumerate(MIGRATIONS, start=1):
        if number <= applied:
            continue
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT)"
            )
            step(connection)
            connection.execute("INSERT INTO migrations VALUES (?, ?)", (number, step.__name__))
            fault("db.migrate")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
