"""Can a target be measured on this machine?"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

from edgeml_bench.gpus import gpus
from edgeml_bench.machines import machine
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.runtimes import installed

if TYPE_CHECKING:
    from edgeml_targets.target import Target

PACKAGES: Final = {
    "onnxruntime": "pip install edgeml[onnxruntime]",
    "openvino": "pip install edgeml[openvino]",
    "litert": "pip install edgeml[litert]",
    "torch": "pip install edgeml[toolkit]",
    "tensorrt": "install TensorRT with its Python module (JetPack has it)",
}
"""How to get a runtime's library."""
SAME: Final = {"amd64": "x86_64", "arm64": "aarch64"}  # other systems' words for one architecture


class Obstacle(EdgemlError):
    """Why a target cannot be measured here."""


def obstacle(target: Target) -> Obstacle | None:
    """Return why `target` cannot be measured on this machine, or `None` where it can.

    Example:
        >>> from edgeml_targets.target import find_target
        >>> obstacle(find_target("jetson-orin-tensorrt")).where
        'jetson-orin-tensorrt'
    """
    here = platform.machine().lower()
    if SAME.get(here, here) != target.architecture:
        return Obstacle(
            f"a target of {target.architecture} cannot be measured on this machine of {platform.machine()}",
            where=target.name,
            mend="run edgeml bench on the hardware itself, or name a target of this machine",
        )
    if target.cpu_features and not set(target.cpu_features) & set(machine().features):
        return Obstacle(
            f"this processor has none of {', '.join(target.cpu_features)}",
            where=target.name,
            mend="run edgeml bench on one that has, or name a target of every processor",
        )
    if target.device.startswith("cuda") and not any(gpu.vendor == "NVIDIA" for gpu in gpus()):
        return Obstacle(
            "no NVIDIA GPU is here",
            where=target.name,
            mend="run edgeml bench on a machine with one, or name a CPU target",
        )
    if not installed(target.runtime):
        return Obstacle(
            f"its runtime {target.runtime} is not installed",
            where=target.name,
            mend=PACKAGES.get(target.runtime, f"install {target.runtime}"),
        )
    return None
