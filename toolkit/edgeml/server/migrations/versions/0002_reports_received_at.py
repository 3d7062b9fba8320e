"""Reports bear the time of their arrival: a device's own clock cannot say whether one came since a rollout began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; reports of before came before every rollout from now on."""
    column = sa.Column(
        "received_at", sa.Float(), nullable=False, server_default="0", comment="when the server stored it"
    )
    op.add_column("reports", column)
