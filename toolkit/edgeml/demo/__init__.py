"""The whole loop on this machine, on real data with real parts: train, compress, deploy, drift, retrain, roll out.

The demo calls the functions and starts the processes that a user does; it plays only the world that the devices see.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from edgeml import ledger, lifecycle, stages
from edgeml.demo import watch
from edgeml.demo.processes import Processes, wait_for
from edgeml.demo.result import Accuracies, AgentState, Demo, Scene
from edgeml.demo.world import LEVEL, Images, Labels, Tally, World, corrupt
from edgeml.demo.world import Scene as Shown
from edgeml.figures import percent
from edgeml.flash import flash_device
from edgeml.gates import Verdict
from edgeml.project import Project, load_project
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.contract.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeml.data import Dataset
    from edgeml.server.running import Running
    from edgeml.server.store import Store

FOLDER: Final = Path("edgeml-demo")
QUIET_WINDOWS: Final = 12  # judged before the corruption; 10 are asked
PAUSE_S: Final = 0.12  # between two requests to one agent: some 50 images a second each
SCENE_LIMIT_S: Final = 120.0
RETRAIN_LIMIT_S: Final = 400.0
SEED: Final = 7


@dataclass(frozen=True)
class Pace:
    """How large the demo is: the share of the live split, training epochs, and answers an accuracy rests on."""

    live: float
    epochs: int
    answers: int


FULL: Final = Pace(live=0.4, epochs=14, answers=1000)
FAST: Final = Pace(live=0.2, epochs=7, answers=500)


@dataclass(frozen=True)
class _Live:
    """The live split in two halves: one is labelled for the retrain, the other measures."""

    labelled: Shown
    clean: Shown
    corrupted: Shown


def run_demo(
    *,
    pace: Pace = FULL,
    folder: Path = FOLDER,
    progress: Progress = SILENT,
    stay: Callable[[Demo], None] = lambda demo: None,
) -> Demo:
    """Run the whole loop and return what was measured.

    Args:
        pace: `FULL` or `FAST`.
        folder: Its files lie there; what an earlier demo left is removed.
        progress: Told what happens.
        stay: Called with the result while server and agents still run.

    Raises:
        EdgemlError: Something lies in the folder that is no demo's, or a part did not do what it should.
        GateFailed: A gate did not hold.
    """
    began = time.time()
    project = _project(folder, pace)
    dataset, evaluated = _first_model(project, progress)
    with Processes(folder / "logs") as processes:
        progress.begin("Deployed")
        running = processes.server(project)
        progress.advance(1, 4, "the server runs")
        before = stages.deploy(project, evaluated, notes="first release").name
        progress.advance(3, 4, f"{before} is signed")
        devices = [f"{folder}/devices/{target.replace('_', '-')}" for target in project.targets]
        for device, target in zip(devices, project.targets, strict=True):
            flash_device(project, f"dir:{device}", target=target, group="demo")
        agents = processes.agents([Path(d) for d in devices])
        progress.end(f"{before} signed, {len(agents)} agents flashed; {running.page_url}")
        with World([agent.url for agent in agents], pause_s=PAUSE_S) as world:
            demo = _loop(project, dataset, world, processes, _Run(before, pace, began, running), progress)
        demo = _reported(project, demo, evaluated.compression.targets, began)
        stay(demo)
    return demo


@dataclass(frozen=True)
class _Run:
    before: str
    pace: Pace
    began: float
    running: Running


def _project(folder: Path, pace: Pace) -> Project:
    if folder.exists() and any(folder.iterdir()) and not (folder / "edgeml.toml").exists():
        raise EdgemlError("something else lies there", where=str(folder), mend="run the demo in another folder")
    shutil.rmtree(folder, ignore_errors=True)
    written = (resources.files("edgeml.demo") / "edgeml.toml").read_text()
    written = written.replace("@LIVE@", str(pace.live)).replace("@EPOCHS@", str(pace.epochs))
    write_atomic(folder / "edgeml.toml", written.encode())
    return load_project(folder)


def _first_model(project: Project, progress: Progress) -> tuple[Dataset, stages.Evaluated]:
    dataset = stages.prepare(project, progress=progress)
    model = stages.engineer(project, dataset, progress=progress)
    return dataset, stages.evaluate(project, model, dataset, progress=progress)


def _loop(
    project: Project, dataset: Dataset, world: World, processes: Processes, run: _Run, progress: Progress
) -> Demo:
    """Clean, corrupted, retrained, recovered: the fleet's life, each scene measured by what the agents answer."""
    from edgeml.data import add_labels
    from edgeml.server.store import Store

    live, answers = _halves(dataset), run.pace.answers
    store = Store.of(project)

    progress.begin("Watched")
    world.show(live.clean)
    clean = _measured("clean", world.tally(answers, limit_s=SCENE_LIMIT_S), run)
    quiet = wait_for(
        "quiet windows",
        lambda: n if (n := watch.quiet_windows(store, run.before)) >= QUIET_WINDOWS else None,
        limit_s=SCENE_LIMIT_S,
        processes=processes,
    )
    progress.end(f"{percent(clean.right / clean.answers)} right, {quiet} windows judged quiet")

    progress.begin("Corrupted")
    corruption_at = time.time()
    quiet_alarms = watch.drift_alarms(store, corruption_at)
    world.show(live.corrupted)
    corrupted = _measured("corrupted", world.tally(answers, limit_s=SCENE_LIMIT_S), run)
    alarm_at = wait_for(
        "the drift alarm",
        lambda: watch.first_drift_alarm(store, corruption_at),
        limit_s=SCENE_LIMIT_S,
        processes=processes,
    )
    share = percent(corrupted.right / corrupted.answers)
    progress.end(f"{share} right under blur, fog and noise; alarm after {alarm_at - corruption_at:.1f} s", warning=True)

    progress.begin("Retrained")
    added = add_labels(project, live.labelled.images, live.labelled.labels, source="demo: the live split, corrupted")
    after = _rolled_out(store, run.before, processes, progress)
    progress.end(f"{added.samples} new labels; {after} beat {run.before} and runs on every device")

    progress.begin("Recovered")
    world.show(live.corrupted)
    tally = world.tally(answers, limit_s=SCENE_LIMIT_S)
    recovered = _measured("recovered", tally, run)
    challenger = _on_the_host(project, after, tally, live.corrupted, dataset)
    wait_for(
        "a quiet verdict on the new release",
        lambda: True if _drift_passes(project, after) else None,
        limit_s=SCENE_LIMIT_S,
        processes=processes,
    )
    progress.end(f"{percent(recovered.right / recovered.answers)} right with {after}")
    scenes = (clean, corrupted, recovered)
    demo = Demo(
        seconds=0.0,
        accuracy=Accuracies(
            clean=clean.right / clean.answers,
            corrupted=corrupted.right / corrupted.answers,
            recovered=recovered.right / recovered.answers,
            challenger=challenger,
        ),
        answers=min(s.answers for s in scenes),
        quiet_windows=quiet,
        quiet_alarms=quiet_alarms,
        corruption_at_s=corruption_at - run.began,
        alarm_at_s=alarm_at - run.began,
        release_before=run.before,
        release_after=after,
        agents=_agents(store),
        artifacts=(),
        phases=lifecycle.status(project).phases,
        report="",
        scenes=scenes,
        page=run.running.page_url,
    )
    store.close()
    return demo


def _halves(dataset: Dataset) -> _Live:
    live = dataset.splits["live"]
    images: Images = np.asarray(dataset.inputs[live])
    labels: Labels = dataset.labels[live]
    half = len(live) // 2
    return _Live(
        labelled=Shown(corrupt(images[:half], LEVEL, SEED), labels[:half]),
        clean=Shown(images[half:], labels[half:]),
        corrupted=Shown(corrupt(images[half:], LEVEL, SEED + 1), labels[half:]),
    )


def _rolled_out(store: Store, before: str, processes: Processes, progress: Progress) -> str:
    def look() -> str | None:
        progress.advance(time.monotonic() - began, RETRAIN_LIMIT_S, watch.rollout_stage(store))
        return watch.rolled_out(store, before)

    began = time.monotonic()
    return wait_for("the new release", look, limit_s=RETRAIN_LIMIT_S, processes=processes)


def _measured(name: str, tally: Tally, run: _Run) -> Scene:
    from edgeml_bench import Accuracy

    found = Accuracy(tally.right, tally.answers)
    release = " and ".join(sorted(tally.by_release))
    return Scene(name, tally.right, tally.answers, found.low, found.high, release, time.time() - run.began)


def _on_the_host(project: Project, release: str, tally: Tally, shown: Shown, dataset: Dataset) -> float:
    """Return the share of right answers of the release's artifacts here, each on the images that its agent was shown."""
    from edgeml.server.releases import bundle_file, read_release

    bundles = read_release(project, release).bundles
    right = 0
    for agent, indexes in tally.asked.items():
        inputs = dataset.preprocessing.stack(shown.images[indexes])
        bundle = bundle_file(project, bundles[project.targets[agent]].sha256)
        right += int(stages.right_on(bundle, inputs, shown.labels[indexes]).sum())
    return right / tally.answers


def _drift_passes(project: Project, release: str) -> bool:
    found = [r for r in ledger.read(project.ledger) if r.gate == "no_drift"]
    return bool(found) and found[-1].subject == release and found[-1].verdict == Verdict.PASS


def _agents(store: Store) -> tuple[AgentState, ...]:
    import sqlalchemy as sa

    from edgeml.server.tables import DEVICES

    with store.reading() as connection:
        rows = connection.execute(sa.select(DEVICES).order_by(DEVICES.c.device)).mappings().all()
    return tuple(AgentState(r["device"], r["target"], r["release"]) for r in rows)


def _reported(project: Project, demo: Demo, artifacts: tuple[object, ...], began: float) -> Demo:
    import msgspec

    from edgeml.report.demo import write

    path = project.root / "report.html"
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    done = msgspec.structs.replace(demo, artifacts=artifacts, report=str(shown), seconds=time.time() - began)
    write(done, path)
    return done
