"""The first schema: devices, their windows and reports, what was judged and decided, releases and rollouts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "accuracies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("release", sa.String(length=63), nullable=False),
        sa.Column("right", sa.Integer(), nullable=False, comment="answers that agreed with a label"),
        sa.Column("labelled", sa.Integer(), nullable=False),
        sa.Column("of", sa.String(length=32), nullable=False, comment="what was labelled: new labels, test"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "alarms",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.Float(), nullable=False),
        sa.Column("closed_at", sa.Float(), nullable=True),
        sa.Column(
            "kind",
            sa.String(length=32),
            nullable=False,
            comment="drift, unknown, staleness, silent, latency, rollback, ...",
        ),
        sa.Column("severity", sa.String(length=8), nullable=False, comment="bad or warn"),
        sa.Column("device", sa.String(length=63), nullable=True, comment="null: the fleet"),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False, comment="how much, limit"),
        sa.Column("mend", sa.String(), nullable=False, comment="what to do"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "bundles",
        sa.Column("release", sa.String(length=63), nullable=False),
        sa.Column("target", sa.String(length=63), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False, comment="fleet/bundles/<sha256>"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("release", "target"),
    )
    op.create_table(
        "credentials",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column(
            "token_hash", sa.String(length=72), nullable=False, comment="bcrypt; the token itself is on the device only"
        ),
        sa.Column("changed_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("device"),
    )
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column(
            "kind",
            sa.String(length=32),
            nullable=False,
            comment="drift, retrain, challenger, canary, rollout, rollback",
        ),
        sa.Column("status", sa.String(length=8), nullable=False, comment="ok, warn, bad, run"),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("figure", sa.String(), nullable=False, comment="the figures it rests on, with thresholds"),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(length=63), nullable=False, comment="policy, or a person's name"),
        sa.Column("evidence", sa.String(length=64), nullable=True, comment="hash of the evidence in the ledger"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "devices",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("group", sa.String(length=63), nullable=False),
        sa.Column("target", sa.String(length=63), nullable=False),
        sa.Column("enrolled_at", sa.Float(), nullable=False),
        sa.Column("last_seen", sa.Float(), nullable=True, comment="when the server last heard of it; null: never"),
        sa.Column(
            "said_at",
            sa.Float(),
            nullable=True,
            comment="the device's own time of the newest message, never later than last_seen",
        ),
        sa.Column("release", sa.String(length=63), nullable=True, comment="the release it last said it runs"),
        sa.Column("desired", sa.String(length=63), nullable=True, comment="the release it should run"),
        sa.Column("state", sa.String(length=16), nullable=False, comment="healthy, degraded, silent, never_seen"),
        sa.Column("reason", sa.String(), nullable=False, comment="why it is not healthy, one sentence"),
        sa.Column("agent", sa.String(length=32), nullable=False),
        sa.Column("python", sa.String(length=32), nullable=False),
        sa.Column("machine", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("device"),
    )
    op.create_table(
        "judgements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("release", sa.String(length=63), nullable=False),
        sa.Column(
            "device", sa.String(length=63), nullable=True, comment="null: all devices that run the release, pooled"
        ),
        sa.Column("through", sa.BigInteger(), nullable=False, comment="arrival of the last window judged"),
        sa.Column("windows", sa.Integer(), nullable=False, comment="how many windows were judged together"),
        sa.Column("answers", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False, comment="quiet, drifted, insufficient"),
        sa.Column("feature", sa.String(length=63), nullable=False, comment="the one with the largest effect"),
        sa.Column(
            "effect", sa.Float(), nullable=True, comment="its effect over its limit decides; null when insufficient"
        ),
        sa.Column("limit", sa.Float(), nullable=True),
        sa.Column("effects", sa.JSON(), nullable=False, comment="feature -> [effect, limit]"),
        sa.Column("unknown_share", sa.Float(), nullable=False),
        sa.Column("unknown_limit", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("judgements_by_time", "judgements", ["at"], unique=False)
    op.create_index("judgements_by_view", "judgements", ["release", "device", "through"], unique=False)
    op.create_table(
        "releases",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("notes", sa.String(), nullable=False),
        sa.Column(
            "accuracies", sa.JSON(), nullable=False, comment="target -> share of right answers on the test split"
        ),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "reports",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("boot", sa.String(length=63), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("release", sa.String(length=63), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("offered", sa.String(length=63), nullable=False),
        sa.PrimaryKeyConstraint("device", "boot", "sequence"),
    )
    op.create_index("reports_by_device", "reports", ["device", "at"], unique=False)
    op.create_table(
        "retrains",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True, comment="null while it runs"),
        sa.Column("reason", sa.String(), nullable=False, comment="the alarm that opened it"),
        sa.Column("labels", sa.Integer(), nullable=False, comment="new labels when it started"),
        sa.Column(
            "verdict", sa.String(length=16), nullable=True, comment="pass, fail, error, interrupted; null while it runs"
        ),
        sa.Column(
            "release", sa.String(length=63), nullable=True, comment="the release that a challenger that passed became"
        ),
        sa.Column("detail", sa.String(), nullable=False, comment="the verdict's reason"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release", sa.String(length=63), nullable=False),
        sa.Column(
            "previous", sa.String(length=63), nullable=True, comment="the release to go back to; null for the first"
        ),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False, comment="canary, fleet, done, aborted, paused"),
        sa.Column("stage_at", sa.Float(), nullable=False),
        sa.Column("canaries", sa.JSON(), nullable=False, comment="device names"),
        sa.Column("gates", sa.JSON(), nullable=False, comment="[{name, value, limit, status}] of the present stage"),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("resumes", sa.String(length=16), nullable=True, comment="the stage that a paused one goes on with"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "windows",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("boot", sa.String(length=63), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("arrival", sa.BigInteger(), nullable=False, comment="rises by the order of commits"),
        sa.Column("began_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.Column("release", sa.String(length=63), nullable=False),
        sa.Column("target", sa.String(length=63), nullable=False),
        sa.Column("answers", sa.BigInteger(), nullable=False),
        sa.Column("unknown", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("p50_us", sa.Float(), nullable=True, comment="null where nothing was answered"),
        sa.Column("p99_us", sa.Float(), nullable=True),
        sa.Column("confidence_p10", sa.Float(), nullable=True),
        sa.Column("confidence_p50", sa.Float(), nullable=True),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("temperature_c", sa.Float(), nullable=True),
        sa.Column("waiting", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="the Window, MessagePack, to the byte"),
        sa.PrimaryKeyConstraint("device", "boot", "sequence"),
    )
    op.create_index("windows_by_arrival", "windows", ["arrival"], unique=True)
    op.create_index("windows_by_device", "windows", ["device", "ended_at"], unique=False)
    op.create_index("windows_by_release", "windows", ["release", "arrival"], unique=False)
    op.create_index("windows_by_time", "windows", ["ended_at"], unique=False)
