"""AlternativeRows: what else each generated token could have been, as packed records.

Records are appended as a reply streams and read only when somebody asks for them, so that opening a
long chat does not read them. What a record holds is not known here.
"""

import sqlite3
from collections.abc import Iterable

from kvchat.store.rows import TokenRecords
from kvchat.store.transactions import Transactions


class AlternativeRows(Transactions):
    """Reads the records of tokens; a part of Database, which says what every method raises."""

    def token_records(self, message_id: str) -> list[TokenRecords]:
        """Return the records of a message's tokens, in order; there may be gaps, or none at all."""
        return self.read(
            lambda row: TokenRecords(int(str(row[0])), bytes(row[1])),  # type: ignore[call-overload]
            "SELECT first_token, records FROM token_alternatives WHERE message_id = ?"
            " ORDER BY first_token",
            (message_id,),
        )

    def add_token_records(self, message_id: str, records: Iterable[TokenRecords]) -> None:
        """Keep records that were computed later, in place of those that begin at the same token."""
        with self.transaction() as connection:
            insert_token_records(connection, message_id, records)


def insert_token_records(
    connection: sqlite3.Connection, message_id: str, records: Iterable[TokenRecords]
) -> None:
    """Keep records of a message's tokens, inside a transaction."""
    connection.executemany(
        "INSERT OR REPLACE INTO token_alternatives VALUES (?, ?, ?)",
        [(message_id, each.first_token, each.records) for each in records if each.records],
    )
