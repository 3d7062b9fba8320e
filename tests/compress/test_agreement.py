"""The same int8 answers on every runtime, and on every x86 CPU: real digits, a real classifier."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgeml_bench import answers
from edgeml_compress.candidates import static_int8
from edgeml_compress.recipe import apply
from edgeml_compress.source import Source, calibrated, read_source, reference_answers
from edgeml_targets.exporters import find_exporter
from edgeml_targets.target import find_target

from .digits import Digits, make_digits

LEAST_SHARE = 0.995
RUNTIMES = ("x86_64-onnxruntime", "x86_64-openvino", "x86_64-litert")
QEMU = "qemu-x86_64-static"
RUN = """
import sys
import numpy as np
from pathlib import Path
from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes import find_runtime
runtime, artifact, given, made = sys.argv[1:]
session = find_runtime(runtime).load(Path(artifact), Settings(target="t", runtime=runtime))
np.save(made, np.concatenate([session.run({"x": x[None]})["logits"] for x in np.load(given)]))
"""
Logits = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    return make_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def source(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Source:
    read = read_source(digits.model, {"x": digits.calibration})
    return calibrated(read, {"x": digits.calibration}, tmp_path_factory.mktemp("calibration") / "calibration")


def int8(source: Source, target: str, folder: Path) -> tuple[Path, float]:
    """Export full int8 and return the file and one step of its output, 0 where that stays in float."""
    found = find_target(target)
    draft = apply(static_int8("minmax"), source.draft(found.scheme))
    artifact = folder / f"{target}{found.suffix}"
    find_exporter(found.suffix).export(draft.model, draft.encodings, artifact)
    output = draft.encodings.tensors.get("logits")
    return artifact, 0.0 if output is None else output.scale[0]


def clear(logits: Logits, step: float) -> npt.NDArray[np.bool_]:
    """Tell for which samples float's two best answers are more than one output step apart."""
    best = np.sort(logits, axis=1)
    return np.asarray(best[:, -1] - best[:, -2] > step)


def test_the_three_runtimes_agree(digits: Digits, source: Source, tmp_path: Path) -> None:
    samples = {"x": digits.inputs}
    plain = reference_answers(source, samples)["logits"].reshape(-1, 10)
    assert (plain.argmax(axis=1) == digits.labels).mean() > 0.9, "the classifier is worth nothing"
    tops, steps = {}, []
    for target in RUNTIMES:
        artifact, step = int8(source, target, tmp_path)
        tops[target] = answers(artifact, find_target(target).settings(), samples)["logits"].reshape(-1, 10).argmax(1)
        steps.append(step)
    judged = clear(plain, max(steps))
    assert judged.mean() > 0.9
    for one, other in itertools.combinations(RUNTIMES, 2):
        share = (tops[one] == tops[other])[judged].mean()
        assert share >= LEAST_SHARE, f"{one} and {other} agree on {share:.4f}"


@pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"{QEMU} is not installed: apt install qemu-user-static")
@pytest.mark.parametrize("target", RUNTIMES)
def test_a_cpu_without_vnni_answers_alike(target: str, digits: Digits, source: Source, tmp_path: Path) -> None:
    artifact, step = int8(source, target, tmp_path)
    np.save(tmp_path / "x.npy", digits.inputs[:400])

    def answered(emulator: list[str]) -> Logits:
        command = [*emulator, sys.executable, "-c", RUN, find_target(target).runtime, artifact]
        command += [tmp_path / "x.npy", tmp_path / "y.npy"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, capture_output=True, timeout=280, env=environment)
        return np.asarray(np.load(tmp_path / "y.npy"))

    native, emulated = answered([]), answered([QEMU, "-cpu", "Haswell"])
    judged = clear(reference_answers(source, {"x": digits.inputs[:400]})["logits"].reshape(-1, 10), step)
    assert (native.argmax(1) == emulated.argmax(1))[judged].mean() >= LEAST_SHARE
