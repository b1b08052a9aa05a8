# SPDX-License-Identifier: Apache-2.0
"""Parts of the test cloud that run in its own environment, without OpenStack's libraries."""

from __future__ import annotations

import runpy
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from goldsmith.core import paths

# As SQLAlchemy writes them.
TABLES = """
CREATE TABLE properties (id INTEGER NOT NULL, data TEXT, PRIMARY KEY (id));
CREATE TABLE resource (
    id INTEGER NOT NULL, uuid VARCHAR(36), properties_id INTEGER,
    PRIMARY KEY (id), UNIQUE (uuid), FOREIGN KEY(properties_id) REFERENCES properties (id)
);
CREATE INDEX ix_resource_uuid ON resource (uuid);
CREATE TABLE stack (id VARCHAR(36) NOT NULL, PRIMARY KEY (id));
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "heat.db"
    with closing(sqlite3.connect(path)) as made:
        made.executescript(TABLES)
    return path


@pytest.fixture
def unique_ids(database: Path) -> Callable[[], None]:
    """Run unique_ids.py on the database."""
    found = runpy.run_path(str(paths.project_root() / "devcloud/unique_ids.py"))
    return lambda: found["main"](str(database))


def second_id(path: Path) -> int:
    """The ID of a row that comes after the deletion of the only one."""
    with closing(sqlite3.connect(path)) as made:
        for statement in ("INSERT INTO properties(data) VALUES ('a')", "DELETE FROM properties"):
            made.execute(statement)
        return int(made.execute("INSERT INTO properties(data) VALUES ('b')").lastrowid or 0)


def test_an_id_is_not_given_twice(database: Path, unique_ids: Callable[[], None]) -> None:
    unique_ids()

    assert second_id(database) == 2


def test_sqlite_left_alone_would_give_it_twice(database: Path) -> None:
    assert second_id(database) == 1


def test_all_else_of_a_table_stays(database: Path, unique_ids: Callable[[], None]) -> None:
    unique_ids()

    with closing(sqlite3.connect(database)) as made:
        tables = dict(made.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall())
        indexes = {row[0] for row in made.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    assert tables["stack"] == "CREATE TABLE stack (id VARCHAR(36) NOT NULL, PRIMARY KEY (id))"
    assert "FOREIGN KEY(properties_id) REFERENCES properties (id)" in tables["resource"]
    assert "ix_resource_uuid" in indexes
    assert any(name.startswith("sqlite_autoindex_resource") for name in indexes), "UNIQUE"


def test_a_table_that_is_in_use_is_left_alone(database: Path, unique_ids: Callable[[], None]) -> None:
    with closing(sqlite3.connect(database)) as made, made:
        made.execute("INSERT INTO properties(data) VALUES ('mine')")

    with pytest.raises(SystemExit, match="properties has rows already"):
        unique_ids()

    with closing(sqlite3.connect(database)) as made:
        assert made.execute("SELECT data FROM properties").fetchall() == [("mine",)]
