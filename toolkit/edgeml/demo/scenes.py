"""The fleet's life in scenes: clean, corrupted, retrained, recovered; each measured by what the agents answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from edgeml import ledger, stages
from edgeml.demo import watch
from edgeml.demo.processes import Processes, wait_for
from edgeml.demo.result import Scene
from edgeml.demo.world import LEVEL, Images, Labels, Shown, Tally, World, corrupt
from edgeml.figures import percent
from edgeml.gates import Verdict
from edgeml.project import Project
from edgeml_targets.contract.progress import Progress

if TYPE_CHECKING:
    from edgeml.data import Dataset
    from edgeml.server.store import Store

QUIET_WINDOWS: Final = 12  # judged before the corruption; 10 are asked
SCENE_LIMIT_S: Final = 120.0
RETRAIN_LIMIT_S: Final = 400.0
CALM_PAUSE_S: Final = 0.3  # while the retrain has the processor: agents and training share it here, not in the field
SEED: Final = 7


@dataclass(frozen=True)
class Stage:
    """What every scene plays on.

    Args:
        project, dataset, store: The fleet's.
        world: Shows images to the agents.
        processes: The server and the agents.
        answers: How many answers an accuracy rests on.
        began: When the demo began, seconds since 1970.
        progress: Told what happens.
    """

    project: Project
    dataset: Dataset
    store: Store
    world: World
    processes: Processes
    answers: int
    began: float
    progress: Progress


@dataclass(frozen=True)
class Live:
    """The live split in two halves: one is labelled for the retrain, the other measures."""

    labelled: Shown
    clean: Shown
    corrupted: Shown


def halves(dataset: Dataset) -> Live:
    """Return what the devices will see; nothing of it was trained on, and the halves share no image."""
    live = dataset.splits["live"]
    images: Images = np.asarray(dataset.inputs[live])
    labels: Labels = dataset.labels[live]
    half = len(live) // 2
    return Live(
        labelled=Shown(corrupt(images[:half], LEVEL, SEED), labels[:half]),
        clean=Shown(images[half:], labels[half:]),
        corrupted=Shown(corrupt(images[half:], LEVEL, SEED + 1), labels[half:]),
    )


def clean(stage: Stage, shown: Shown, release: str) -> tuple[Scene, int]:
    """Show clean images until enough windows were judged quiet; return what was measured, and how many windows."""
    stage.progress.begin("Watched")
    scene, _ = _measured(stage, "clean", shown)
    quiet = wait_for(
        "quiet windows",
        lambda: n if (n := watch.quiet_windows(stage.store, release)) >= QUIET_WINDOWS else None,
        limit_s=SCENE_LIMIT_S,
        processes=stage.processes,
    )
    stage.progress.end(f"{percent(scene.share)} right, {quiet} windows judged quiet")
    return scene, quiet


def corrupted(stage: Stage, shown: Shown) -> tuple[Scene, float, float]:
    """Corrupt what the whole fleet sees; return what was measured, when it began, and when the server alarmed."""
    stage.progress.begin("Corrupted")
    began = time.time()
    scene, _ = _measured(stage, "corrupted", shown)
    alarm = wait_for(
        "the drift alarm",
        lambda: watch.first_drift_alarm(stage.store, began),
        limit_s=SCENE_LIMIT_S,
        processes=stage.processes,
    )
    told = f"{percent(scene.share)} right under blur, fog and noise; alarm after {alarm - began:.1f} s"
    stage.progress.end(told, warning=True)
    return scene, began, alarm


def retrained(stage: Stage, live: Live, before: str) -> str:
    """Hand in new labels as anyone can, and wait until the server has retrained and rolled out; return the new release."""
    from edgeml.data import add_labels

    stage.progress.begin("Retrained")
    source = "demo: half of the live split, corrupted"
    added = add_labels(stage.project, live.labelled.images, live.labelled.labels, source=source)
    stage.world.show(live.corrupted, pause_s=CALM_PAUSE_S)
    began = time.monotonic()

    def look() -> str | None:
        stage.progress.advance(time.monotonic() - began, RETRAIN_LIMIT_S, watch.rollout_stage(stage.store))
        return watch.rolled_out(stage.store, before)

    after = wait_for("the new release", look, limit_s=RETRAIN_LIMIT_S, processes=stage.processes)
    stage.progress.end(f"{added.samples} new labels; {after} beat {before} and runs on every device")
    return after


def recovered(stage: Stage, shown: Shown, release: str) -> tuple[Scene, float]:
    """Show the corrupted images again; return what was measured, and the release's own accuracy on the same images here."""
    stage.progress.begin("Recovered")
    scene, tally = _measured(stage, "recovered", shown)
    challenger = _on_the_host(stage, release, tally, shown)
    wait_for(
        "a quiet verdict on the new release",
        lambda: True if _drift_passes(stage.project, release) else None,
        limit_s=SCENE_LIMIT_S,
        processes=stage.processes,
    )
    stage.progress.end(f"{percent(scene.share)} right with {release}")
    return scene, challenger


def _measured(stage: Stage, name: str, shown: Shown) -> tuple[Scene, Tally]:
    from edgeml_bench import Accuracy

    stage.world.show(shown)
    tally = stage.world.tally(stage.answers, limit_s=SCENE_LIMIT_S)
    found = Accuracy(tally.right, tally.answers)
    release = " and ".join(sorted(tally.by_release))
    at_s = time.time() - stage.began
    return Scene(name, tally.right, tally.answers, found.low, found.high, release, at_s), tally


def _on_the_host(stage: Stage, release: str, tally: Tally, shown: Shown) -> float:
    """Return the share of right answers of the release's artifacts, each on the images that its agent was shown."""
    from edgeml.server.releases import bundle_file, read_release

    bundles = read_release(stage.project, release).bundles
    right = 0
    for agent, indexes in tally.asked.items():
        bundle: Path = bundle_file(stage.project, bundles[stage.project.targets[agent]].sha256)
        inputs = stage.dataset.preprocessing.stack(shown.images[indexes])
        right += int(stages.right_on(bundle, inputs, shown.labels[indexes]).sum())
    return right / tally.answers


def _drift_passes(project: Project, release: str) -> bool:
    found = [r for r in ledger.read(project.ledger) if r.gate == "no_drift"]
    return bool(found) and found[-1].subject == release and found[-1].verdict == Verdict.PASS
