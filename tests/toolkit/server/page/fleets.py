"""The fleets that the tests look at, by name: `FLEETS["degraded"](seed)` fills a store."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from edgeml.server import tables
from edgeml.server.alarms import Alarm, open_alarm
from edgeml.server.decisions import Decision, decide
from edgeml.server.stage import GateRow
from edgeml.server.store import Store
from edgeml_agent.messages import Window

sys.path.insert(0, str(Path(__file__).parent))
from releasing import add_release, keep_compression
from seeding import (
    CONTRAST_LOSS,
    DAY,
    HOUR,
    JETSON,
    PI4,
    PI5,
    X86,
    Device,
    Seed,
    judge_all,
    project_in,
    record,
    report,
    window_rows,
    windows_of,
)

GROUPS = ("line-a", "line-b", "dock")


def devices_48(*, well: bool) -> list[Device]:
    """Return the 48 devices of the brief's pictures."""
    found = []
    for target, count in ((PI5, 20), (PI4, 14), (X86, 10), (JETSON, 4)):
        for _ in range(count):
            group = GROUPS[0] if target == PI5 else GROUPS[1] if target == PI4 else GROUPS[2]
            found.append(Device(f"{group}-{len([d for d in found if d.group == group]) + 1:02}", group, target))
    if well:
        return found
    by_name = {d.name: d for d in found}

    def change(name: str, **values: object) -> None:
        by_name[name] = Device(**{**by_name[name].__dict__, **values})

    for name in ("line-a-01", "line-a-02", "line-b-01", "dock-01", "dock-11"):
        change(name, release="r42")
    for name in ("line-b-07", "line-b-08", "line-b-09"):
        change(name, state="degraded", reason="Its p99 latency is over the budget.", slower=1.55)
    change("line-b-07", every_s=300.0, temperature_c=lambda at: 60.0 + 3 * np.sin(at / 9000))
    change("dock-03", state="silent", reason="It was not heard of for 47 minutes.", last_seen_ago=47 * 60.0)
    change("line-b-14", state="never_seen", reason="", last_seen_ago=None)
    return list(by_name.values())


def healthy(seed: Seed) -> None:
    """All 48 devices run r41 and nothing was decided for a day."""
    devices = devices_48(well=True)
    add_release(seed, "r41", "m41", at=seed.now - 6 * DAY, accuracy=0.968)
    seed.enrol(devices)
    windows = [
        w
        for d in devices
        for w in windows_of(seed, d, since=seed.now - DAY, contrast_at=lambda _: 1.0, release_at=lambda _: "r41")
    ]
    record(seed, windows)
    seed.settle(devices)
    judge_all(seed, windows, every_s=0.5 * HOUR, release="r41")
    with seed.store.writing() as connection:
        connection.execute(sa.insert(tables.ROLLOUTS).values(rollout_row("done", "r41", "r40", at=seed.now - 5 * DAY)))
        decide(
            connection,
            Decision("rollout", "ok", "r41 runs everywhere", "48 of 48 devices, 0 failed", "Every canary gate held."),
            seed.now - 5 * DAY,
        )
        closed = {
            "opened_at": seed.now - 6 * DAY,
            "closed_at": seed.now - 6 * DAY + 720,
            "kind": "silent",
            "severity": "warn",
        }
        told = {
            "device": "dock-03",
            "title": "dock-03 was silent",
            "detail": "no window for 12 min",
            "mend": "Check its power.",
        }
        connection.execute(sa.insert(tables.ALARMS).values(closed | told))
        connection.execute(
            sa.insert(tables.ACCURACIES), [accuracy_row(seed.now - h * HOUR, "r41", 0.967, 400) for h in (20, 12, 4)]
        )


def degraded(seed: Seed) -> None:
    """Contrast drifted an hour ago, r42 was trained and is in canary on five devices; three Raspberry Pi 4 are slow."""
    devices = devices_48(well=False)
    drift_at, canary_at, r41_at = seed.now - 75 * 60, seed.now - 31 * 60, seed.now - 12.5 * HOUR
    add_release(seed, "r41", "m41", at=seed.now - 6 * DAY, accuracy=0.968)
    add_release(seed, "r42", "m42", at=seed.now - 40 * 60, accuracy=0.961)
    keep_compression(seed, "m41")
    seed.enrol(devices)

    def contrast_at(at: float) -> float:
        return CONTRAST_LOSS if at > drift_at else 1.0

    def windows_since(device: Device, since: float) -> list[Window]:
        def release_at(at: float) -> str:
            return "r42" if device.release == "r42" and at > canary_at else "r40" if at < r41_at else "r41"

        return windows_of(seed, device, since=since, contrast_at=contrast_at, release_at=release_at)

    windows = [w for d in devices if d.last_seen_ago is not None for w in windows_since(d, seed.now - DAY)]
    hot = next(d for d in devices if d.name == "line-b-07")
    reports = [
        report(hot, r41_at - 72, "started", "r40", "", 1),
        report(hot, r41_at, "switched", "r41", "self-test 32 of 32", 2),
        report(hot, seed.now - 3 * HOUR, "refused", "r41", "r42: the bundle's hash is not the signed one", 3),
    ]
    record(seed, [*windows, *reports])
    seed.settle(devices)
    judged = judge_all(seed, [w for w in windows if w.ended_at > r41_at + 360], every_s=0.5 * HOUR, release="r41")
    _, newest = judged[-1]
    effect = newest.effects[newest.worst]
    figure = f"{newest.worst}: PSI {effect.effect:.2f}, threshold {effect.limit:.2f}"
    with seed.store.writing() as connection:
        for at, alarm in troubles(seed, figure):
            open_alarm(connection, alarm, at)
        for at, decision in chain(seed, figure):
            decide(connection, decision, at)
        rollouts = [
            rollout_row("done", "r41", "r40", at=seed.now - 12.6 * HOUR),
            rollout_row("canary", "r42", "r41", at=canary_at),
        ]
        connection.execute(sa.insert(tables.ROLLOUTS), rollouts)
        measured = [accuracy_row(seed.now - h * HOUR, "r41", 0.967, 400) for h in (20, 13, 6)]
        measured.append(accuracy_row(seed.now - 0.6 * HOUR, "r41", 0.901, 620))
        connection.execute(sa.insert(tables.ACCURACIES), measured)


def troubles(seed: Seed, drift: str) -> list[tuple[float, Alarm]]:
    """Return the degraded fleet's open alarms and since when."""
    slow = [
        Alarm("degraded", "warn", f"{name} is slower than its budget", "p99 23.1 ms, budget 20 ms", "Check fans.", name)
        for name in ("line-b-07", "line-b-08", "line-b-09")
    ]
    usual = "last window 47 min ago, usually every 10 s"
    return [
        (seed.now - 60 * 60, Alarm("drift", "bad", "Inputs have drifted", drift, "Being handled: r42 is in canary.")),
        *((seed.now - 100 * 60, alarm) for alarm in slow),
        (seed.now - 46 * 60, Alarm("silent", "warn", "dock-03 is silent", usual, "Check its power.", "dock-03")),
    ]


def chain(seed: Seed, drift: str) -> list[tuple[float, Decision]]:
    """Return what was decided for the degraded fleet, and when."""
    points = "r42 +6.3 points on fresh rows (95 %: +4.6 to +8.0)"
    golden = "Golden split −0.1 points (−0.4 to +0.2): not worse."
    enough = "Enough labels for the policy to ask for a retrain."
    answers = "r42 on 5 devices, 1,240 of 2,000 answers"
    decided = (
        (60, Decision("drift", "warn", "Drift found", drift, "The same in all groups: the scene changed.")),
        (45, Decision("retrain", "ok", "Retrained", "620 new labels, 200 needed; 9\u00a0min", enough)),
        (38, Decision("challenger", "ok", "Challenger passed", points, golden)),
        (31, Decision("canary", "run", "Canary running", answers, "Any failed gate rolls back to r41.")),
    )
    return [(seed.now - minutes * 60, decision) for minutes, decision in decided]


def one_bad(seed: Seed) -> None:
    """One of three devices failed its update and went back; everything else is well. Its name is the longest there is."""
    longest = "packaging-hall-north-conveyor-seventeen-camera-left-above-belt4"
    devices = [
        Device("line-a-01", "line-a", PI5, every_s=120.0),
        Device("line-a-02", "line-a", X86, every_s=120.0),
        Device(
            longest,
            "packaging-hall-north-conveyor-seventeen",
            PI4,
            every_s=120.0,
            state="degraded",
            reason="The self-test of r42 failed: 19 of 32 answers equal; r41 goes on.",
        ),
    ]
    add_release(seed, "r41", "m41", at=seed.now - 6 * DAY, accuracy=0.968)
    seed.enrol(devices)
    windows = [
        w
        for d in devices
        for w in windows_of(seed, d, since=seed.now - 5 * HOUR, contrast_at=lambda _: 1.0, release_at=lambda _: "r41")
    ]
    record(seed, windows)
    record(seed, [report(devices[2], seed.now - 600, "rolled_back", "r41", "self-test 19 of 32", 9)])
    seed.settle(devices)
    with seed.store.writing() as connection:
        alarm = Alarm(
            "rollback",
            "bad",
            f"{longest} went back to r41",
            "self-test of r42 19 of 32",
            "Compare its runtime with the target's description.",
            longest,
        )
        open_alarm(connection, alarm, seed.now - 590)


def empty(seed: Seed) -> None:
    """Nothing was ever enrolled."""


def enrolled(seed: Seed) -> None:
    """Two devices were prepared; none was heard of yet."""
    seed.enrol(
        [
            Device("device-1", "demo", X86, state="never_seen", last_seen_ago=None),
            Device("device-2", "demo", PI5, state="never_seen", last_seen_ago=None),
        ]
    )


def large(seed: Seed) -> None:
    """10,000 devices, a window each; 300 silent, 120 degraded, 40 never seen."""
    rng = np.random.default_rng(3)
    states = ["degraded"] * 120 + ["silent"] * 300 + ["never_seen"] * 40 + ["healthy"] * 9540
    targets = rng.choice([PI5, PI4, X86, JETSON], size=10_000, p=[0.5, 0.3, 0.19, 0.01])
    devices = [
        Device(
            f"site-{i // 100:02}-{i % 100:02}",
            f"site-{i // 100:02}",
            str(targets[i]),
            state=state,
            release="r42" if i % 12 == 5 else "r41",
            reason={
                "degraded": "Its p99 latency is over the budget.",
                "silent": "It was not heard of for an hour.",
            }.get(state, ""),
            last_seen_ago={"silent": HOUR, "never_seen": None}.get(state, float(rng.uniform(0, 600))),
        )
        for i, state in enumerate(rng.permutation(states))
    ]
    add_release(seed, "r41", "m41", at=seed.now - 6 * DAY, accuracy=0.968)
    add_release(seed, "r42", "m42", at=seed.now - DAY, accuracy=0.971)
    seed.enrol(devices)
    with seed.store.writing() as connection:
        connection.execute(
            sa.insert(tables.WINDOWS), window_rows(seed, [d for d in devices if d.last_seen_ago is not None])
        )
        alarms = [
            {
                "opened_at": seed.now - HOUR,
                "kind": kind,
                "severity": "warn",
                "device": d.name,
                "title": f"{d.name} is {d.state}",
                "detail": d.reason,
                "mend": "Check its power and network.",
            }
            for d in devices
            if (kind := {"silent": "silent", "degraded": "degraded"}.get(d.state))
        ]
        connection.execute(sa.insert(tables.ALARMS), alarms)


def accuracy_row(at: float, release: str, share: float, labelled: int) -> dict[str, object]:
    return {"at": at, "release": release, "right": round(share * labelled), "labelled": labelled, "of": "new labels"}


def rollout_row(stage: str, release: str, previous: str, *, at: float) -> dict[str, object]:
    gates = [
        GateRow("self-test", "5 of 5", "all 5", "ok"),
        GateRow("answers", "1,240", "2,000 needed", "run"),
        GateRow("unknown", "1.1 %", "limit 8.0 %", "ok"),
        GateRow("errors", "0.0 %", "limit 1.0 %", "ok"),
        GateRow("p99 latency", "88 %", "of the budget, limit 100 %", "ok"),
    ]
    written = [{"name": g.name, "value": g.value, "limit": g.limit, "status": g.status} for g in gates]
    return {
        "release": release,
        "previous": previous,
        "started_at": at,
        "stage": stage,
        "stage_at": at if stage == "canary" else at + 1800,
        "canaries": ["dock-01", "dock-11", "line-a-01", "line-a-02", "line-b-01"],
        "gates": written if stage == "canary" else [],
    }


FLEETS: dict[str, Callable[[Seed], None]] = {
    "healthy": healthy,
    "degraded": degraded,
    "one_bad": one_bad,
    "empty": empty,
    "enrolled": enrolled,
    "large": large,
}


def fill(folder: Path, fleet: str, now: float) -> Seed:
    """Fill a store in `folder` and return it with its project."""
    project = project_in(folder)
    seed = Seed(Store.open(f"sqlite:///{folder / 'fleet.db'}"), project, now)
    FLEETS[fleet](seed)
    return seed
