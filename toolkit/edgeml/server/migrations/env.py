"""Alembic's entry: it runs the steps in the transaction that `migrate` handed over."""

from __future__ import annotations

from alembic import context

from edgeml.server.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
