# SPDX-License-Identifier: Apache-2.0
"""Make the threads of a service queue for SQLite instead of failing; import it before the engine is created.

oslo.db begins transactions as readers, and a reader that wants to write after another writer fails at once
with "database is locked"; SQLite's busy timeout does not apply there. So transactions begin as writers
(BEGIN IMMEDIATE), with a write-ahead log and a timeout
(https://www.sqlite.org/lang_transaction.html, https://www.sqlite.org/wal.html).
"""

import sqlite3

from sqlalchemy import event
from sqlalchemy.engine import Engine

_PRAGMAS = ("journal_mode=WAL", "synchronous=OFF", "busy_timeout=60000")


@event.listens_for(Engine, "connect")
def _on_connect(connection, _record):
    if isinstance(connection, sqlite3.Connection):
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")


@event.listens_for(Engine, "before_cursor_execute", retval=True)
def _on_execute(connection, _cursor, statement, parameters, _context, _many):
    if statement == "BEGIN" and connection.dialect.name == "sqlite":
        statement = "BEGIN IMMEDIATE"
    return statement, parameters
