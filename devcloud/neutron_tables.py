# SPDX-License-Identifier: Apache-2.0
"""neutron_tables.py URL: create Neutron's tables from its models; its migrations do not run on SQLite."""

import sys

import sqlalchemy
from neutron.db.migration.models import head  # noqa: F401 - knows every model
from neutron_lib.db import model_base

model_base.BASEV2.metadata.create_all(sqlalchemy.create_engine(sys.argv[1]))
