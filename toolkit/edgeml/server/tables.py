"""The store's tables, for SQLite and PostgreSQL alike. Times are seconds since 1970, UTC."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

METADATA: Final = sa.MetaData()

DEVICES: Final = sa.Table(
    "devices",
    METADATA,
    sa.Column("device", sa.String(63), primary_key=True),
    sa.Column("group", sa.String(63), nullable=False),
    sa.Column("target", sa.String(63), nullable=False),
    sa.Column("enrolled_at", sa.Float, nullable=False),
    sa.Column("last_seen", sa.Float, comment="when the server last heard of it; null: never"),
    sa.Column("said_at", sa.Float, comment="the device's own time of the newest message, never later than last_seen"),
    sa.Column("release", sa.String(63), comment="the release it last said it runs"),
    sa.Column("desired", sa.String(63), comment="the release it should run"),
    sa.Column("state", sa.String(16), nullable=False, comment="healthy, degraded, silent, never_seen"),
    sa.Column("reason", sa.String, nullable=False, default="", comment="why it is not healthy, one sentence"),
    sa.Column("agent", sa.String(32), nullable=False, default=""),
    sa.Column("python", sa.String(32), nullable=False, default=""),
    sa.Column("machine", sa.String(64), nullable=False, default=""),
)

WINDOWS: Final = sa.Table(
    "windows",
    METADATA,
    sa.Column("device", sa.String(63), primary_key=True),
    sa.Column("boot", sa.String(63), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    sa.Column("arrival", sa.BigInteger, nullable=False, comment="rises by the order of commits"),
    sa.Column("began_at", sa.Float, nullable=False),
    sa.Column("ended_at", sa.Float, nullable=False),
    sa.Column("received_at", sa.Float, nullable=False),
    sa.Column("release", sa.String(63), nullable=False),
    sa.Column("target", sa.String(63), nullable=False),
    sa.Column("answers", sa.BigInteger, nullable=False),
    sa.Column("unknown", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("p50_us", sa.Float, comment="null where nothing was answered"),
    sa.Column("p99_us", sa.Float),
    sa.Column("confidence_p10", sa.Float),
    sa.Column("confidence_p50", sa.Float),
    sa.Column("memory_bytes", sa.BigInteger),
    sa.Column("temperature_c", sa.Float),
    sa.Column("waiting", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False, comment="the Window, MessagePack, to the byte"),
    sa.Index("windows_by_time", "ended_at"),
    sa.Index("windows_by_device", "device", "ended_at"),
    sa.Index("windows_by_arrival", "arrival", unique=True),
    sa.Index("windows_by_release", "release", "arrival"),
)

REPORTS: Final = sa.Table(
    "reports",
    METADATA,
    sa.Column("device", sa.String(63), primary_key=True),
    sa.Column("boot", sa.String(63), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("release", sa.String(63), nullable=False),
    sa.Column("event", sa.String(32), nullable=False),
    sa.Column("detail", sa.String, nullable=False),
    sa.Column("offered", sa.String(63), nullable=False, default=""),
    sa.Column("received_at", sa.Float, nullable=False, server_default="0", comment="when the server stored it"),
    sa.Index("reports_by_device", "device", "at"),
)

JUDGEMENTS: Final = sa.Table(
    "judgements",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("release", sa.String(63), nullable=False),
    sa.Column("device", sa.String(63), comment="null: all devices that run the release, pooled"),
    sa.Column("through", sa.BigInteger, nullable=False, comment="arrival of the last window judged"),
    sa.Column("windows", sa.Integer, nullable=False, comment="how many windows were judged together"),
    sa.Column("answers", sa.BigInteger, nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False, comment="quiet, drifted, insufficient"),
    sa.Column("feature", sa.String(63), nullable=False, comment="the one with the largest effect"),
    sa.Column("effect", sa.Float, comment="its effect over its limit decides; null when insufficient"),
    sa.Column("limit", sa.Float),
    sa.Column("effects", sa.JSON, nullable=False, comment="feature -> [effect, limit]"),
    sa.Column("unknown_share", sa.Float, nullable=False),
    sa.Column("unknown_limit", sa.Float, nullable=False),
    sa.Index("judgements_by_time", "at"),
    sa.Index("judgements_by_view", "release", "device", "through"),
)

ALARMS: Final = sa.Table(
    "alarms",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("opened_at", sa.Float, nullable=False),
    sa.Column("closed_at", sa.Float),
    sa.Column(
        "kind", sa.String(32), nullable=False, comment="drift, unknown, staleness, silent, latency, rollback, ..."
    ),
    sa.Column("severity", sa.String(8), nullable=False, comment="bad or warn"),
    sa.Column("device", sa.String(63), comment="null: the fleet"),
    sa.Column("title", sa.String, nullable=False),
    sa.Column("detail", sa.String, nullable=False, comment="how much, limit"),
    sa.Column("mend", sa.String, nullable=False, comment="what to do"),
)

DECISIONS: Final = sa.Table(
    "decisions",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("kind", sa.String(32), nullable=False, comment="drift, retrain, challenger, canary, rollout, rollback"),
    sa.Column("status", sa.String(8), nullable=False, comment="ok, warn, bad, run"),
    sa.Column("title", sa.String, nullable=False),
    sa.Column("figure", sa.String, nullable=False, comment="the figures it rests on, with thresholds"),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("by", sa.String(63), nullable=False, comment="policy, or a person's name"),
    sa.Column("evidence", sa.String(64), comment="hash of the evidence in the ledger"),
)

RELEASES: Final = sa.Table(
    "releases",
    METADATA,
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("model", sa.String(64), nullable=False),
    sa.Column("notes", sa.String, nullable=False),
    sa.Column("accuracies", sa.JSON, nullable=False, comment="target -> share of right answers on the test split"),
)

BUNDLES: Final = sa.Table(
    "bundles",
    METADATA,
    sa.Column("release", sa.String(63), primary_key=True),
    sa.Column("target", sa.String(63), primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False, comment="fleet/bundles/<sha256>"),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
)

CREDENTIALS: Final = sa.Table(
    "credentials",
    METADATA,
    sa.Column("device", sa.String(63), primary_key=True),
    sa.Column("token_hash", sa.String(72), nullable=False, comment="bcrypt; the token itself is on the device only"),
    sa.Column("changed_at", sa.Float, nullable=False),
)

ROLLOUTS: Final = sa.Table(
    "rollouts",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("release", sa.String(63), nullable=False),
    sa.Column("previous", sa.String(63), comment="the release to go back to; null for the first"),
    sa.Column("started_at", sa.Float, nullable=False),
    sa.Column("stage", sa.String(16), nullable=False, comment="canary, fleet, done, aborted, paused"),
    sa.Column("stage_at", sa.Float, nullable=False),
    sa.Column("canaries", sa.JSON, nullable=False, comment="device names"),
    sa.Column("gates", sa.JSON, nullable=False, comment="[{name, value, limit, status}] of the present stage"),
    sa.Column("reason", sa.String, nullable=False, default=""),
    sa.Column("resumes", sa.String(16), comment="the stage that a paused one goes on with"),
)

ACCURACIES: Final = sa.Table(
    "accuracies",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("release", sa.String(63), nullable=False),
    sa.Column("right", sa.Integer, nullable=False, comment="answers that agreed with a label"),
    sa.Column("labelled", sa.Integer, nullable=False),
    sa.Column("of", sa.String(32), nullable=False, comment="what was labelled: new labels, test"),
)

RETRAINS: Final = sa.Table(
    "retrains",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("started_at", sa.Float, nullable=False),
    sa.Column("ended_at", sa.Float, comment="null while it runs"),
    sa.Column("reason", sa.String, nullable=False, comment="the alarm that opened it"),
    sa.Column("labels", sa.Integer, nullable=False, comment="new labels when it started"),
    sa.Column("verdict", sa.String(16), comment="pass, fail, error, interrupted; null while it runs"),
    sa.Column("release", sa.String(63), comment="the release that a challenger that passed became"),
    sa.Column("detail", sa.String, nullable=False, default="", comment="the verdict's reason"),
)
