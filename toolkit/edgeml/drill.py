"""The fallback drill: load the new bundle as a device would, give it up, and see whether the fallback answers as before."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from edgeml.gates.fallback_tried import Drill
from edgeml_agent.infer import load_engine
from edgeml_agent.selftest import self_test
from edgeml_agent.slots import unpack
from edgeml_targets.contract.bundle import read_manifest
from edgeml_targets.runtimes import installed


def drill(new: Path, fallback: Path, *, target: str) -> Drill:
    """Try one target's way back with the agent's own code; return how it went.

    Args:
        new: The new bundle's file.
        fallback: The file of the bundle to fall back to.
        target: The target of both.

    Raises:
        EdgemlError: A bundle is none, or cannot be loaded.
    """
    with tempfile.TemporaryDirectory(prefix="edgeml-drill-") as scratch:
        slots = Path(scratch)
        kept = unpack(fallback, slots / "a", target=target)
        tried = load_engine("new", unpack(new, slots / "b", target=target))
        self_test(tried)
        began = time.monotonic()
        tried.close()
        engine = load_engine("fallback", kept)
        found = self_test(engine)
        seconds = time.monotonic() - began
        engine.close()
    name = f"{kept.manifest.candidate} of model {kept.manifest.model}"
    return Drill(target, name, found.right, found.samples, seconds)


def drills(new: Mapping[str, Path], fallbacks: Mapping[str, Path]) -> tuple[Drill, ...]:
    """Try the way back of every target that has both bundles and whose artifacts can be loaded here.

    The processor need not be the target's: a Raspberry Pi's ONNX file is loaded by ONNX Runtime here, too.
    """
    return tuple(
        drill(path, fallbacks[target], target=target)
        for target, path in new.items()
        if target in fallbacks and _loads_here(path)
    )


def _loads_here(bundle: Path) -> bool:
    settings = read_manifest(bundle).settings
    return settings.device == "cpu" and installed(settings.runtime)
