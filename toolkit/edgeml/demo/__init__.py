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

import msgspec

from edgeml import lifecycle, stages
from edgeml.demo import scenes, watch
from edgeml.demo.processes import Processes
from edgeml.demo.result import Accuracies, Demo
from edgeml.demo.world import World
from edgeml.flash import flash_device
from edgeml.project import Project, load_project
from edgeml.server.retrain import training_threads
from edgeml.server.running import find_running
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.contract.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeml.data import Dataset
    from edgeml.model import Model

FOLDER: Final = Path("edgeml-demo")
MARK: Final = ".edgeml-demo"
PAUSE_S: Final = 0.12  # between two requests to one agent: some 50 images a second each


@dataclass(frozen=True)
class Pace:
    """How large the demo is: the share of the live split, training epochs, and answers an accuracy rests on."""

    live: float
    epochs: int
    answers: int


FULL: Final = Pace(live=0.4, epochs=7, answers=1000)
FAST: Final = Pace(live=0.2, epochs=4, answers=500)


@dataclass(frozen=True)
class _Deployed:
    """A first release on flashed agents that run."""

    release: str
    page_url: str
    agent_urls: tuple[str, ...]


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
    from edgeml.server.store import Store

    began = time.time()
    project = _project(folder, pace)
    dataset = stages.prepare(project, progress=progress)
    model = _trained(project, dataset, progress)
    evaluated = stages.evaluate(project, model, dataset, progress=progress)
    with Processes(folder / "logs") as processes:
        deployed = _deploy(project, evaluated, folder, processes, progress)
        store = Store.of(project)
        with World(deployed.agent_urls, pause_s=PAUSE_S) as world:
            stage = scenes.Stage(project, dataset, store, world, processes, pace.answers, began, progress)
            demo = _play(stage, deployed, dataset)
        store.close()
        demo = _reported(project, msgspec.structs.replace(demo, artifacts=evaluated.compression.targets), began)
        stay(demo)
    return demo


def _project(folder: Path, pace: Pace) -> Project:
    """Write the demo's project anew; what an earlier demo left is removed, and nothing else is.

    Raises:
        EdgemlError: Something else lies in the folder, or an earlier demo still runs there.
    """
    mark = folder / MARK
    if folder.exists() and any(folder.iterdir()):
        if not mark.exists():
            raise EdgemlError("something else lies there", where=str(folder), mend="run the demo in another folder")
        if find_running(load_project(folder)) is not None:
            raise EdgemlError("a demo still runs there", where=str(folder), mend="end it with Ctrl-C first")
        shutil.rmtree(folder)
    write_atomic(mark, b"The demo's folder: the next demo removes it.\n")
    written = (resources.files("edgeml.demo") / "edgeml.toml").read_text()
    written = written.replace("@LIVE@", str(pace.live)).replace("@EPOCHS@", str(pace.epochs))
    write_atomic(folder / "edgeml.toml", written.encode())
    return load_project(folder)


def _trained(project: Project, dataset: Dataset, progress: Progress) -> Model:
    """Train the first model on as many threads as the server will the next: what else runs here must not hold it up."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(training_threads())
    try:
        return stages.engineer(project, dataset, progress=progress)
    finally:
        torch.set_num_threads(before)


def _deploy(
    project: Project, evaluated: stages.Evaluated, folder: Path, processes: Processes, progress: Progress
) -> _Deployed:
    """Start the server, sign the first release, flash an agent a target, and start them."""
    progress.begin("Deployed")
    running = processes.server(project)
    progress.advance(1, 4, "the server runs")
    release = stages.deploy(project, evaluated, notes="first release").name
    progress.advance(3, 4, f"{release} is signed")
    devices = [folder / "devices" / target.replace("_", "-") for target in project.targets]
    for device, target in zip(devices, project.targets, strict=True):
        flash_device(project, f"dir:{device}", target=target, group="demo")
    agents = processes.agents(devices)
    progress.end(f"{release} signed, {len(agents)} agents flashed; {running.page_url}")
    return _Deployed(release, running.page_url, tuple(agent.url for agent in agents))


def _play(stage: scenes.Stage, deployed: _Deployed, dataset: Dataset) -> Demo:
    """Play the scenes in their order; artifacts and report are filled in later."""
    live, before = scenes.halves(dataset), deployed.release
    clean, quiet_windows = scenes.clean(stage, live.clean, before)
    corrupted, corruption_at, alarm_at = scenes.corrupted(stage, live.corrupted)
    after = scenes.retrained(stage, live, before)
    recovered, challenger = scenes.recovered(stage, live.corrupted, after)
    return Demo(
        seconds=0.0,
        accuracy=Accuracies(
            clean=clean.share, corrupted=corrupted.share, recovered=recovered.share, challenger=challenger
        ),
        answers=min(scene.answers for scene in (clean, corrupted, recovered)),
        quiet_windows=quiet_windows,
        quiet_alarms=watch.drift_alarms(stage.store, corruption_at),
        corruption_at_s=corruption_at - stage.began,
        alarm_at_s=alarm_at - stage.began,
        release_before=before,
        release_after=after,
        agents=watch.agents(stage.store),
        artifacts=(),
        phases=lifecycle.status(stage.project).phases,
        report="",
        scenes=(clean, corrupted, recovered),
        page=deployed.page_url,
    )


def _reported(project: Project, demo: Demo, began: float) -> Demo:
    from edgeml.report.demo import write

    path = project.root / "report.html"
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    done = msgspec.structs.replace(demo, report=str(shown), seconds=time.time() - began)
    write(done, path)
    return done
