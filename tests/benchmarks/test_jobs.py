"""Jobs in a fresh process: what comes back, and what is said when something goes wrong."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeml_bench import jobs
from edgeml_bench.jobs import Entrant, Event, Finished, Job, Load, Round, run_job
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings

ONNXRUNTIME = Settings(target="x86_64-onnxruntime", runtime="onnxruntime")


def job(artifact: Path, loads: int = 2) -> Job:
    return Job(
        entrants=(Entrant(str(artifact), ONNXRUNTIME),), loads=loads, least_loads=1, seconds=0.1, least_inferences=20
    )


class Listener:
    """A progress that remembers how far it was told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def begin(self, step: str) -> None: ...

    def advance(self, done: float, of: float, text: str = "") -> None:
        self.heard.append(text)

    def end(self, result: str, *, warning: bool = False) -> None: ...


def test_a_job_times_each_load_and_says_where_it_ran(tiny_mlp: Path) -> None:
    listener = Listener()
    outcome = run_job(job(tiny_mlp), progress=listener)
    assert len(outcome.of(0)) == 2 and listener.heard == ["load 1 of 2", "load 2 of 2"]
    assert sum(len(load.times_us) for load in outcome.of(0)) >= 20
    finished = outcome.finished
    assert finished.runtime_versions and finished.machine.cores >= 1 and finished.conditions.seconds > 0
    assert finished.idle_memory_bytes and finished.peak_memory_bytes
    assert finished.peak_memory_bytes > finished.idle_memory_bytes


def test_inputs_may_have_any_name_and_lack_the_batch_axis(tiny_mlp: Path) -> None:
    assert run_job(job(tiny_mlp), inputs={"x": np.zeros(12, np.float32)}).loads
    with pytest.raises(EdgemlError, match="no sample for input x, there are file"):
        run_job(job(tiny_mlp), inputs={"file": np.zeros(12, np.float32)})


def test_the_users_folder_shadows_no_module(tiny_mlp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    assert run_job(job(tiny_mlp)).loads


def test_a_runtime_that_crashes_is_an_error_that_names_the_file(
    tiny_mlp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real process that dies by a signal, as a runtime with a broken kernel does."""
    (tmp_path / "onnxruntime.py").write_text(f"import os; os.kill(os.getpid(), {signal.SIGSEGV.value})")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with pytest.raises(EdgemlError, match=r"tiny_mlp\.onnx: the runtime crashed \(SIGSEGV\)"):
        run_job(job(tiny_mlp))


def test_a_fault_of_ours_comes_with_what_the_worker_said(
    tiny_mlp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ZeroDivisionError('in the worker')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with pytest.raises(RuntimeError, match="in the worker"):
        run_job(job(tiny_mlp))


def test_a_worker_ends_when_its_caller_is_interrupted(tiny_mlp: Path) -> None:
    class Interrupted(Listener):
        def advance(self, done: float, of: float, text: str = "") -> None:
            raise KeyboardInterrupt

    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text()
    with pytest.raises(KeyboardInterrupt):
        run_job(job(tiny_mlp, loads=1000), progress=Interrupted())
    assert children.read_text() == before


def test_every_event_survives_the_wire(tiny_mlp: Path) -> None:
    finished = run_job(job(tiny_mlp, loads=1)).finished
    load = Load(entrant=0, began_s=0.5, load_ms=1.5, first_us=20.0, blocks=[[1, 2], [3]])
    events: list[Event] = [jobs.Advanced(1, 2), Round([load]), finished, jobs.Refused("what", "where", "mend")]
    for event in events:
        assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event
    assert isinstance(finished, Finished)
