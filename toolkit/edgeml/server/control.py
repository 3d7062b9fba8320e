"""The control loop: it reads what the store shows, lets the pure parts decide, and does what they say. One thread.

Each round, in this order: let enrolled devices in; judge what arrived; note how devices are; move the rollout; decide
about a retrain; say offers. A round that is cut short is done again: everything it acts on is in the store.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final

import sqlalchemy as sa

from edgeml import lifecycle
from edgeml.data import count_labels_since
from edgeml.figures import number
from edgeml.gates import Verdict
from edgeml.gates.not_stale import StalenessEvidence
from edgeml.project import Project
from edgeml.server import rollout
from edgeml.server.alarms import Alarm, open_alarm
from edgeml.server.broker import Broker
from edgeml.server.decide import COOL_DOWN_WINDOWS, Situation, next_step
from edgeml.server.decisions import POLICY, Decision, decide
from edgeml.server.health import Health
from edgeml.server.ingest import Ingest
from edgeml.server.releases import manifests
from edgeml.server.retrain import Retrain
from edgeml.server.store import Store
from edgeml.server.tables import ALARMS, CREDENTIALS, RELEASES
from edgeml.server.watch import Watch
from edgeml_targets.contract.errors import EdgemlError

LEAST_ROUND_S: Final = 0.1
MOST_ROUND_S: Final = 1.0
DAY_S: Final = 86_400.0
REFUSALS_S: Final = 3_600.0  # an alarm about unreadable messages closes when there were none for so long
_LOG = logging.getLogger(__name__)


class Control:
    """The loop.

    Args:
        project: Its thresholds apply.
        store: What everything is read from and written to.
        ingest: Sends offers.
        retrain: The job.
        broker: The embedded one, `None` for an external one.
    """

    def __init__(self, project: Project, store: Store, ingest: Ingest, retrain: Retrain, broker: Broker | None) -> None:
        self._project, self._store, self._ingest, self._retrain = project, store, ingest, retrain
        self._broker = broker
        self._watch = Watch(project, store)
        self._asked_by = ""
        self._credentials: object = None
        self._disk_was_full = False
        self._ages: dict[str, Verdict] = {}
        self._made: dict[str, float] = {}
        with store.reading() as connection:
            self._health = Health(project, connection)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and a retrain that runs."""
        self._stopping.set()
        self._thread.join()

    def alive(self) -> bool:
        """Say whether the thread runs; it ends by itself only by a bug."""
        return self._thread.is_alive()

    def ask_retrain(self, by: str) -> None:
        """Start a retrain at the next round, whatever the policy says.

        Raises:
            EdgemlError: One runs already.
        """
        if self._retrain.running():
            raise EdgemlError("one runs already", where="retrain", mend="wait for its end")
        self._asked_by = by

    def round(self, now: float) -> None:
        """Go once through everything."""
        self._admit()
        self._watch.look(now)
        self._states(now)
        rollout.judge_canary(self._store, self._project, now)
        with self._store.writing() as connection:
            rollout.advance(connection, self._project.fleet, now)
        self._age(now)
        self._decide(now)
        for device, offer in self._ingest.offers.due(now):
            self._ingest.send(device, offer)

    def _run(self) -> None:
        pause_s = min(max(self._project.fleet.window_s / 4, LEAST_ROUND_S), MOST_ROUND_S)
        try:
            while not self._stopping.wait(pause_s):
                try:
                    self._tend_broker()
                    self.round(time.time())
                # A full disk, a database that restarts: the next round does it.
                except sa.exc.OperationalError as error:
                    reason = str(error.orig).splitlines()[0]
                    _LOG.error("the store refused a round, trying again: %s", reason)
                    self._disk_was_full |= "disk" in reason
                except EdgemlError as error:
                    _LOG.error("a round was refused, trying again: %s", error)
        finally:
            self._retrain.stop()

    def _tend_broker(self) -> None:
        """Start the embedded broker anew when it died, or after a full disk, which it never gets over by itself.

        Devices and ingest come back by themselves; what the broker had not stored still lies in the devices' outboxes.
        """
        if self._broker is None:
            return
        ended = not self._broker.alive()
        if ended or ((self._disk_was_full or self._broker.spoilt()) and self._broker.has_space()):
            _LOG.error("the broker %s; starting it anew", "ended" if ended else "stood on a full disk")
            self._broker = self._broker.again(self._hashes())
            self._disk_was_full = False
            self._ingest.move(self._broker.address)

    def _admit(self) -> None:
        """Let exactly the devices with credentials into the embedded broker, as soon as they change."""
        if self._broker is None:
            return
        changed = sa.select(sa.func.count(), sa.func.max(CREDENTIALS.c.changed_at))
        with self._store.reading() as connection:
            seen = tuple(connection.execute(changed).one())
        if seen != self._credentials:
            self._broker.admit(self._hashes())
            self._credentials = seen

    def _hashes(self) -> dict[str, str]:
        return token_hashes(self._store)

    def _states(self, now: float) -> None:
        with self._store.writing() as connection:
            self._health.look(connection, now)
            old = sa.and_(
                ALARMS.c.kind == "rejected", ALARMS.c.closed_at.is_(None), ALARMS.c.opened_at < now - REFUSALS_S
            )
            connection.execute(sa.update(ALARMS).where(old).values(closed_at=now))

    def _age(self, now: float) -> None:
        """Let the gate `not_stale` judge the present release's model's age, and record where the verdict is new."""
        release = self._current()
        if release is None:
            return
        if (made_at := self._made_at(release)) is None:
            return
        age_days = (now - made_at) / DAY_S
        stale = age_days > self._project.fleet.stale_days
        verdict = Verdict.FAIL if stale else Verdict.PASS
        if self._ages.get(release.name) == verdict:
            return
        evidence = StalenessEvidence(release.model, age_days)
        lifecycle.record(self._project, "not_stale", evidence, subject=release.model, by=POLICY)
        self._ages[release.name] = verdict
        if stale:
            limit = number(self._project.fleet.stale_days, 0, "days")
            detail = f"{number(age_days, 0, 'days')} old, limit {limit}"
            mend = "Hand in new labels with edgeml data add; they start a retrain."
            with self._store.writing() as connection:
                open_alarm(connection, Alarm("staleness", "warn", "The model is stale", detail, mend), now)

    def _made_at(self, release: sa.Row[Any]) -> float | None:
        """Return when a release's model was made; an old model does not become young by being released anew.

        Bundles of before do not say it, then the release's own time stands for it. `None` while a bundle cannot be read:
        `Watch` has an alarm open then.
        """
        if release.name not in self._made:
            try:
                found = manifests(self._project, self._store, release.name)
            except EdgemlError:
                return None
            known = [manifest.made_at for manifest in found.values() if manifest.made_at is not None]
            self._made[release.name] = min(known, default=release.created_at)
        return self._made[release.name]

    def _decide(self, now: float) -> None:
        self._retrain.poll(now)
        asked_by, self._asked_by = self._asked_by, ""
        if asked_by and not self._retrain.running():
            told = Decision("retrain", "run", "A retrain runs", "by hand", f"{asked_by} asked", asked_by)
            self._retrain.start(f"{asked_by} asked", self._labels(), told, now)
            return
        step = next_step(situation := self._situation(now))
        if step.retrain and step.decision is not None:
            self._retrain.start(situation.asked_by, situation.labels, step.decision, now)
        elif step.decision is not None:
            with self._store.writing() as connection:
                decide(connection, step.decision, now)

    def _situation(self, now: float) -> Situation:
        asking = sa.and_(
            ALARMS.c.kind.in_(("drift", "staleness")), ALARMS.c.device.is_(None), ALARMS.c.closed_at.is_(None)
        )
        with self._store.reading() as connection:
            asked_by = connection.scalar(sa.select(ALARMS.c.title).where(asking).order_by(ALARMS.c.kind).limit(1)) or ""
            rolling_out = bool(rollout.active_rows(connection))
        release = self._current()
        if not asked_by or release is None:
            return Situation("", 0, self._project.fleet.retrain_labels, self._retrain.running(), rolling_out, now)
        failed = self._retrain.last_without(release.name, release.created_at)
        return Situation(
            asked_by=asked_by,
            labels=self._labels(),
            labels_needed=self._project.fleet.retrain_labels,
            running=self._retrain.running(),
            rolling_out=rolling_out,
            now=now,
            ended_at=failed.ended_at if failed else None,
            labels_then=failed.labels if failed else 0,
            cool_down_s=COOL_DOWN_WINDOWS * self._project.fleet.window_s,
        )

    def _current(self) -> sa.Row[Any] | None:
        with self._store.reading() as connection:
            name = rollout.current_release(connection)
            return connection.execute(sa.select(RELEASES).where(RELEASES.c.name == name)).first()

    def _labels(self) -> int:
        """Return how many labelled samples came that the present release's model has not seen."""
        release = self._current()
        found = manifests(self._project, self._store, release.name) if release else {}
        datasets = {manifest.dataset for manifest in found.values()}
        return max((count_labels_since(self._project, dataset) for dataset in datasets), default=0)


def token_hashes(store: Store) -> dict[str, str]:
    """Return the token's hash of each device that may sign in."""
    with store.reading() as connection:
        rows = connection.execute(sa.select(CREDENTIALS.c.device, CREDENTIALS.c.token_hash))
        return dict(rows.all())
