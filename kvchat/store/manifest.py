"""The manifest: which files hold saved keys and values, and which sessions use them.

A file that no row names is rubbish, and a row is written only when its file is on disk. Functions
run on the store thread, each in one transaction; what goes from here is deleted on disk afterwards.
"""

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain

from kvchat.kv.segments import CHECKSUM_BYTES, KEY_BYTES, ManifestRow, SegmentIndex
from kvchat.store.database import Database
from kvchat.store.rows import pack_token_ids, unpack_token_ids

_LOG = logging.getLogger(__name__)

_COLUMNS = (
    "name, model_digest, scheme, block_size, schedule, first_block, num_tokens, keys, stems,"
    " token_ids, places, checksums, num_bytes, use_order"
)
_NEXT_USE = "(SELECT coalesce(max(use_order), 0) + 1 FROM segments)"


def read_manifest(database: Database) -> tuple[list[ManifestRow], dict[str, set[str]]]:
    """Return all rows, least recently used first, and the names of the files of each session.

    A row that makes no sense is left out, since text does not depend on it.
    """
    found = database.read(_row_or_none, f"SELECT {_COLUMNS} FROM segments ORDER BY use_order, name")
    rows = [row for row in found if row is not None]
    pairs = database.read(
        lambda row: (str(row[0]), str(row[1])), "SELECT session_id, name FROM session_segments"
    )
    names: dict[str, set[str]] = {}
    for session_id, name in pairs:
        names.setdefault(session_id, set()).add(name)
    return rows, names


def save_segments(
    database: Database,
    session_id: str,
    new: Sequence[ManifestRow],
    named: Iterable[str],
    unnamed: Iterable[str],
) -> list[str]:
    """Record new files, and which files a session uses from now on and which no longer.

    Marks all that it uses as used now. Returns the files that no session uses any more; their rows
    are gone. A session that is not stored uses nothing, so that the new files go as well.
    """
    with database.transaction() as connection:
        for row in new:
            connection.execute(
                f"INSERT OR REPLACE INTO segments ({_COLUMNS}) VALUES"
                f" (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {_NEXT_USE})",
                _values(row),
            )
        found = connection.execute("SELECT 1 FROM sessions WHERE id = ?", (session_id,))
        if found.fetchone() is not None:
            connection.executemany(
                "INSERT OR IGNORE INTO session_segments"
                " SELECT ?, name FROM segments WHERE name = ?",
                [(session_id, name) for name in named],
            )
        return _leave(connection, session_id, unnamed)


def share_segments(database: Database, parent_id: str, child_id: str) -> None:
    """Let a fork use the files of its parent."""
    with database.transaction() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO session_segments SELECT ?, name FROM session_segments"
            " WHERE session_id = ? AND EXISTS (SELECT 1 FROM sessions WHERE id = ?)",
            (child_id, parent_id, child_id),
        )


def leave_segments(database: Database, session_id: str) -> list[str]:
    """Let a session use no file any more; return the files that nobody uses, their rows gone."""
    with database.transaction() as connection:
        connection.execute("DELETE FROM session_segments WHERE session_id = ?", (session_id,))
        return _drop_unused(connection)


def use_segments(database: Database, names: Iterable[str]) -> None:
    """Mark files as used now."""
    with database.transaction() as connection:
        _use(connection, names)


def drop_segments(database: Database, names: Iterable[str]) -> None:
    """Forget files, whoever uses them."""
    with database.transaction() as connection:
        connection.executemany("DELETE FROM segments WHERE name = ?", [(name,) for name in names])


def drop_unused_segments(database: Database) -> list[str]:
    """Forget the files that no session uses but deleted ones, and return their names."""
    with database.transaction() as connection:
        connection.execute(
            "DELETE FROM session_segments WHERE session_id IN"
            " (SELECT id FROM sessions WHERE deleted_at IS NOT NULL)"
        )
        return _drop_unused(connection)


def _leave(connection: sqlite3.Connection, session_id: str, names: Iterable[str]) -> list[str]:
    connection.executemany(
        "DELETE FROM session_segments WHERE session_id = ? AND name = ?",
        [(session_id, name) for name in names],
    )
    of_session = connection.execute(
        "SELECT name FROM session_segments WHERE session_id = ?", (session_id,)
    )
    _use(connection, [name for (name,) in of_session.fetchall()])
    return _drop_unused(connection)


def _use(connection: sqlite3.Connection, names: Iterable[str]) -> None:
    (order,) = connection.execute(f"SELECT {_NEXT_USE}").fetchone()
    connection.executemany(
        "UPDATE segments SET use_order = ? WHERE name = ?", [(order, name) for name in names]
    )


def _drop_unused(connection: sqlite3.Connection) -> list[str]:
    unused = connection.execute(
        "SELECT name FROM segments WHERE name NOT IN (SELECT name FROM session_segments)"
    )
    names = [str(name) for (name,) in unused.fetchall()]
    connection.executemany("DELETE FROM segments WHERE name = ?", [(name,) for name in names])
    return names


def _values(row: ManifestRow) -> tuple[object, ...]:
    index = row.index
    places = chain.from_iterable((len(group), *group) for group in index.places)
    return (
        row.name,
        row.model_digest,
        row.scheme,
        row.block_size,
        index.schedule,
        index.first_block,
        index.num_tokens,
        b"".join(index.keys),
        b"".join(index.stems),
        pack_token_ids(chain.from_iterable(index.token_ids)),
        pack_token_ids(places),
        b"".join(chain.from_iterable(row.checksums)),
        row.num_bytes,
    )


def _row_or_none(values: tuple[object, ...]) -> ManifestRow | None:
    try:
        return _row(values)
    except (ValueError, TypeError, AssertionError):
        _LOG.warning("a row of the manifest is damaged; its tokens are computed again")
        return None


def _row(values: tuple[object, ...]) -> ManifestRow:
    """Return the row of these columns; raises ValueError for what was never written."""
    name, digest, scheme, size, schedule, first, count, *blobs, num_bytes, use_order = values
    keys, stems, token_ids, places, checksums = blobs
    assert isinstance(size, int) and isinstance(count, int) and isinstance(first, int)
    ids = unpack_token_ids(token_ids)  # type: ignore[arg-type]
    if len(ids) != count or size < 1:
        raise ValueError("number of token ids")
    numbers = list(unpack_token_ids(places))  # type: ignore[arg-type]
    groups: list[tuple[int, ...]] = []
    while numbers:
        end = 1 + numbers[0]
        if not 1 <= end <= len(numbers):
            raise ValueError("places of blocks")
        groups.append(tuple(numbers[1:end]))
        del numbers[:end]
    each = iter(_pieces(checksums, CHECKSUM_BYTES))
    index = SegmentIndex(
        str(schedule),
        first,
        _pieces(keys, KEY_BYTES),
        _pieces(stems, KEY_BYTES),
        tuple(ids[at : at + size] for at in range(0, count, size)),
        tuple(groups),
    )
    if not len(index.keys) == len(index.stems) == len(index.token_ids):
        raise ValueError("number of blocks")
    return ManifestRow(
        str(name),
        str(digest),
        str(scheme),
        size,
        index,
        tuple(tuple(next(each, b"") for _ in group) for group in groups),
        int(str(num_bytes)),
        int(str(use_order)),
    )


def _pieces(blob: object, size: int) -> tuple[bytes, ...]:
    assert isinstance(blob, bytes)
    if len(blob) % size:
        raise ValueError("a blob of another length")
    return tuple(blob[at : at + size] for at in range(0, len(blob), size))
