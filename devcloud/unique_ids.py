# SPDX-License-Identifier: Apache-2.0
"""unique_ids.py DATABASE: make SQLite never reuse an ID, as the databases of real clouds do.

Without AUTOINCREMENT a new row gets the ID of the last one that was deleted
(https://www.sqlite.org/autoinc.html). Heat stores the new properties of a resource and then deletes the old
ones by their ID. If the new ones have got that ID, the stack is broken for good ("ResourcePropertiesData
with id 2 not found"). The tables are still empty, so this script replaces them.
"""

import contextlib
import re
import sqlite3
import sys

_ID = re.compile(r"\bid INTEGER NOT NULL")
_KEY = re.compile(r",\s*PRIMARY KEY \(id\)")


def with_unique_ids(statement):
    """CREATE TABLE with AUTOINCREMENT; None if the table has another kind of key."""
    if not _ID.search(statement) or not _KEY.search(statement):
        return None
    return _KEY.sub("", _ID.sub("id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", statement, count=1), count=1)


def remake(database, table, statement):
    """Replace a table, with its indexes."""
    (rows,) = database.execute(f'SELECT count(*) FROM "{table}"').fetchone()  # noqa: S608 - of Heat's own
    if rows:
        raise SystemExit(f"{table} has rows already")
    indexes = database.execute(
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql NOT NULL", (table,)
    ).fetchall()
    database.execute(f'DROP TABLE "{table}"')
    for (each,) in [(statement,), *indexes]:
        database.execute(each)


def main(path):
    """Replace every table of the database whose key is a number."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        tables = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        for table, old in tables:
            new = with_unique_ids(old)
            if new is not None:
                remake(database, table, new)


if __name__ == "__main__":
    main(sys.argv[1])
