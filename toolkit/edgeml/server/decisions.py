"""Decisions: what the policy or a person decided, with the figures it rests on. Written once; the figures may be told anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from edgeml.server.tables import DECISIONS

POLICY = "policy"


@dataclass(frozen=True)
class Decision:
    """One decision.

    Args:
        kind: `drift`, `retrain`, `challenger`, `canary`, `rollout`, `rollback`.
        status: `ok`, `warn`, `bad`, or `run` for what is on its way.
        title: What was decided, a few words.
        figure: The figures it rests on, with thresholds.
        reason: Why, one sentence.
        by: `policy`, or a person's name.
        evidence: The hash of the evidence in the ledger, where there is one.
    """

    kind: str
    status: Literal["ok", "warn", "bad", "run"]
    title: str
    figure: str
    reason: str
    by: str = POLICY
    evidence: str | None = None


def decide(connection: sa.Connection, decision: Decision, now: float) -> None:
    """Write a decision down.

    Where the newest of its kind has the same status and title, only its figure, reason and time are told anew:
    "waits for labels" is one decision, however often the count changes.
    """
    newest = connection.execute(
        sa.select(DECISIONS).where(DECISIONS.c.kind == decision.kind).order_by(DECISIONS.c.id.desc()).limit(1)
    ).first()
    told = {"at": now, "figure": decision.figure, "reason": decision.reason, "evidence": decision.evidence}
    if newest is None or (newest.status, newest.title) != (decision.status, decision.title):
        what = {"kind": decision.kind, "status": decision.status, "title": decision.title, "by": decision.by}
        connection.execute(sa.insert(DECISIONS).values(what | told))
    elif (newest.figure, newest.reason) != (decision.figure, decision.reason):
        connection.execute(sa.update(DECISIONS).where(DECISIONS.c.id == newest.id).values(told))
