"""Measure a target's quantization scheme: which integers, how wide, and which operators, on accuracy and latency.

Usage: python benchmarks/peers/schemes.py MODEL.onnx DATA.npz --target x86_64-onnxruntime [--cpu Haswell]

DATA holds `calibration` (samples, ...), `inputs` (samples, ...) and `labels` (samples,), as the model is fed. Every variant is
made from one calibration, all are timed in turns in one process. With --cpu the answers are computed again under
qemu-x86_64-static with that CPU: what it lacks (AVX512-VNNI) shows as other answers.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgeml_bench import race
from edgeml_compress.calibration import calibrate
from edgeml_compress.candidates import static_int8
from edgeml_compress.passes import Draft
from edgeml_compress.preparation import prepare
from edgeml_compress.recipe import apply
from edgeml_targets.artifacts import reason
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings
from edgeml_targets.exporters import find_exporter
from edgeml_targets.models import model_tensors, read_model
from edgeml_targets.runtimes import find_runtime
from edgeml_targets.target import OWN_TARGETS, Scheme, Target, find_target

Array = npt.NDArray[Any]
KEYS: Final = ("calibration", "inputs", "labels")
EMULATED = """
import sys, numpy as np
from pathlib import Path
from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes import find_runtime
session = find_runtime(sys.argv[1]).load(Path(sys.argv[2]), Settings(target="emulated", runtime=sys.argv[1]))
name = session.inputs[0].name
np.save(sys.argv[4], np.concatenate([session.run({name: x[None]})[session.outputs[0].name] for x in np.load(sys.argv[3])]))
"""


def variants(target: Target, present: set[str]) -> Iterator[tuple[str, Scheme]]:
    """Yield what is tried: first integers and widths over all operators, then operators over the target's own integers."""
    operators = tuple(o for o in target.scheme.operators if o in present)
    given = target.scheme
    for name, signed, symmetric, bits in (
        ("unsigned, 8 bits", False, False, 8),
        ("unsigned, 7 bits", False, False, 7),
        ("signed, 8 bits", True, False, 8),
        ("signed, 7 bits", True, False, 7),
        ("symmetric, 8 bits", True, True, 8),
    ):
        update = {"activations_signed": signed, "activations_symmetric": symmetric, "weight_bits": bits}
        yield name, given.model_copy(update={**update, "operators": operators})
    yield "one scale a tensor", given.model_copy(update={"weights_per_channel": False, "operators": operators})
    for less in operators:
        rest = tuple(o for o in operators if o != less)
        yield f"without {less}", given.model_copy(update={"operators": rest})
    for more in sorted(present - set(operators)):
        yield f"with {more}", given.model_copy(update={"operators": (*operators, more)})


def answers(artifact: Path, settings: Settings, inputs: Array) -> Array:
    """Return an artifact's first output for every input, one at a time, as a device computes them."""
    session = find_runtime(settings.runtime).load(artifact, settings)
    name = session.inputs[0].name
    return np.concatenate([session.run({name: x[None]})[session.outputs[0].name] for x in inputs])


def emulated(artifact: Path, runtime: str, inputs: Array, cpu: str) -> Array:
    """Return the same on an emulated CPU."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.npy", Path(folder) / "out.npy"
        np.save(given, inputs)
        command = [
            "qemu-x86_64-static",
            "-cpu",
            cpu,
            sys.executable,
            "-c",
            EMULATED,
            runtime,
            str(artifact),
            given,
            made,
        ]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        return np.asarray(np.load(made))


def cosine(a: Array, b: Array) -> float:
    """Return the lowest cosine of two answers to one input."""
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def read_arrays(path: Path) -> dict[str, Array]:
    """Return the arrays that `KEYS` names.

    Raises:
        EdgemlError: The file is no NPZ, or one of them is missing.
    """
    mend = f"write it with numpy.savez(path, {', '.join(f'{key}=...' for key in KEYS)})"
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise EdgemlError(f"cannot be read: {reason(error)}", where=str(path), mend=mend) from error
    if not isinstance(found, np.lib.npyio.NpzFile):
        raise EdgemlError("one array, not an NPZ of several", where=str(path), mend=mend)
    with found:
        missing = [key for key in KEYS if key not in found.files]
        if missing:
            there = ", ".join(found.files) or "none"
            raise EdgemlError(f"no array {', '.join(missing)}, there are {there}", where=str(path), mend=mend)
        return {key: found[key] for key in KEYS}


def main() -> None:
    """Make, run and time every variant, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--target", default="x86_64-onnxruntime")
    parser.add_argument("--cpu", help="an emulated CPU, Haswell")
    parser.add_argument("--emulated-samples", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--only", default="", help="only variants whose name holds this")
    asked = parser.parse_args()
    try:
        target, data = find_target(asked.target, Path(OWN_TARGETS)), read_arrays(asked.data)
    except EdgemlError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
    settings = target.settings(threads=1)
    model = prepare(read_model(asked.model), where=str(asked.model)).model
    calibration = calibrate(model, {model_tensors(model)[0][0].name: data["calibration"]})
    present = {node.op_type for node in model.graph}
    exporter = find_exporter(target.suffix)
    with tempfile.TemporaryDirectory() as folder:
        made = {"float32": Path(folder) / f"float32{target.suffix}"}
        exporter.export(model, Encodings(), made["float32"])
        for name, scheme in variants(target, present):
            if asked.only in name:
                draft = apply(static_int8("minmax"), Draft(model, Encodings(), calibration, scheme))
                made[name] = Path(folder) / f"{len(made)}{target.suffix}"
                exporter.export(model, draft.encodings, made[name])
        timings = race(list(made.values()), settings, seconds=asked.seconds)
        truth = answers(made["float32"], settings, data["inputs"])
        print(f"{asked.model.name} on {target.name}, {len(truth)} samples; {', '.join(sorted(present))}")
        for (name, artifact), timing in zip(made.items(), timings, strict=True):
            found = answers(artifact, settings, data["inputs"])
            right = (found.argmax(1) == data["labels"]).mean()
            line = f"{name:28} right {right:6.2%}  cosine {cosine(found, truth):.4f}  p50 {timing.p50_us:7.1f} us"
            line += f"  x{timing.ratio:.3f} [{timing.ratio_low:.3f}, {timing.ratio_high:.3f}]"
            if asked.cpu and "bits" in name:
                count = asked.emulated_samples
                there = emulated(artifact, settings.runtime, data["inputs"][:count], asked.cpu)
                same = (there.argmax(1) == found[:count].argmax(1)).mean()
                line += f"  on {asked.cpu}: same {same:.1%}, cosine {cosine(there, found[:count]):.4f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
