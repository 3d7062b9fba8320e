"""What quantizers and runtimes are given of a network: files in a folder of its own, laid out once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeml_compress.source import hash_of
from edgeml_targets.contract.files import sha256_of
from edgeml_targets.contract.layout import METADATA_NAME, Metadata
from edgeml_targets.models import float_artifact
from edgeml_targets.runtimes.litert import read_metadata
from edgeml_targets.target import Target, find_target
from peers.networks import Network

LITERT: Final = "litert"


@dataclass(frozen=True)
class Given:
    """What a quantizer is given: a float model, its samples in the layout of that file, and their labels."""

    model: Path
    samples: Path
    labels: Path


class Givens:
    """The files of one network.

    Args:
        network: The network.
        folder: Where all networks have their folders.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self.folder = folder / re.sub(r"[^a-z0-9]+", "-", network.name.lower()).strip("-")
        self.folder.mkdir(parents=True, exist_ok=True)
        digests = [sha256_of(network.model), hash_of(network.calibration), hash_of(network.test)]
        self.key = " ".join(d[:16] for d in digests)

    def floats(self, runtime: str) -> Path:
        """Return the float model as a runtime loads it.

        Raises:
            EdgemlError: The runtime's format lacks an operator.
        """
        return float_artifact(self.network.model, target_of(runtime), self.folder)

    def given(self, runtime: str, *, is_ours: bool) -> Given:
        """Return what a quantizer for a runtime is given; ours is given the ONNX file, whatever the runtime.

        Raises:
            EdgemlError: The runtime's format lacks an operator.
        """
        labels = self.folder / "labels.npy"
        np.save(labels, self.network.calibration_labels)
        if runtime != LITERT or is_ours:
            samples = self.folder / "calibration.npz"
            np.savez(samples, **self.network.calibration)  # type: ignore[arg-type]
            return Given(self.network.model, samples, labels)
        model, samples = self.folder / "named.tflite", self.folder / "calibration.litert.npz"
        plain = self.floats(runtime)
        model.write_bytes(with_names(plain.read_bytes()))
        np.savez(samples, **_in_layout(plain, self.network.calibration))
        return Given(model, samples, labels)


def target_of(runtime: str) -> Target:
    """Return this machine with a runtime."""
    return find_target(f"x86_64-{runtime}")


def with_names(content: bytes) -> bytes:
    """Return a TFLite file whose tensors each have a name of their own: ours names few, and ai-edge-quantizer tells them apart by it."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(content), 0))
    for graph in model.subgraphs:
        ports = {*map(int, graph.inputs), *map(int, graph.outputs)}  # these keep theirs
        for number, tensor in enumerate(graph.tensors):
            if number not in ports:
                tensor.name = f"tensor_{number}".encode()
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _in_layout(artifact: Path, samples: Mapping[str, Any]) -> dict[str, Any]:
    content = read_metadata(artifact, METADATA_NAME)
    metadata = Metadata.from_json(content or b"", where=str(artifact))
    return {port.tensor.name: port.to_file(samples[port.tensor.name]) for port in metadata.inputs}
