"""How an artifact's own inputs and outputs stand to the float model's, where the format asks for another layout.

A `.tflite` file that we write carries it as metadata named `edgeml`, so that its session takes and gives tensors as the
float model does, and nobody else has to know that the file is NHWC.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.tensors import Tensor

METADATA_NAME: Final = "edgeml"
SCHEMA: Final = "edgeml.layout/1"
FIXED: Final = "edgeml.fixed"
"""What marks a constant of a graph that was an input, in its own metadata."""


class Port(msgspec.Struct, frozen=True):
    """One input or output of an artifact.

    Args:
        tensor: The float model's name, element type and shape, -1 where any size is taken.
        permutation: The model's axes in the file's order, (0, 2, 3, 1) from NCHW to NHWC; empty where they are the same.
    """

    tensor: Tensor
    permutation: tuple[int, ...] = ()

    def to_file(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a tensor of the model's layout in the file's, C-contiguous."""
        return np.asarray(array.transpose(self.permutation) if self.permutation else array, order="C")

    def to_model(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a tensor of the file's layout in the model's, C-contiguous."""
        back = np.argsort(self.permutation)
        return np.asarray(array.transpose(back) if self.permutation else array, order="C")


class FixedInput(msgspec.Struct, frozen=True):
    """An input of the float model that is a constant in the artifact.

    Args:
        name: The float model's.
        value: What it is for good.
    """

    name: str
    value: bool | int | float

    def check(self, fed: npt.NDArray[Any]) -> None:
        """Raise ValueError where something else is fed."""
        if not bool(np.all(np.asarray(fed) == self.value)):
            raise ValueError(f"input {self.name} is {self.value} for good in this artifact, fed is {fed}")


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The ports of an artifact, in the order of the file's own inputs and outputs.

    Args:
        schema: Name and version of this structure; within a version fields are only added.
        inputs, outputs: A port each.
        fixed: Inputs that the artifact has no more.
    """

    schema: str = SCHEMA
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    fixed: tuple[FixedInput, ...] = ()

    def to_json(self) -> bytes:
        """Return the bytes that the file carries under `METADATA_NAME`."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, content: bytes, *, where: str) -> Metadata:
        """Read what `to_json` wrote; `where` names the file in the error.

        Raises:
            EdgemlError: The content is no such metadata, a permutation is none, or a newer edgeml wrote it.
        """
        mend = "make the artifact again with edgeml compress"
        try:
            found = msgspec.json.decode(content, type=cls)
        except msgspec.MsgspecError as error:
            raise EdgemlError(f"its metadata is damaged: {error}", where=where, mend=mend) from error
        if found.schema != SCHEMA:
            raise EdgemlError(
                f"its metadata's schema is {found.schema!r}, known is {SCHEMA!r}", where=where, mend="update edgeml"
            )
        for port in (*found.inputs, *found.outputs):
            if port.permutation and sorted(port.permutation) != list(range(len(port.tensor.shape))):
                what = f"{port.permutation} does not permute the {len(port.tensor.shape)} axes of {port.tensor.name}"
                raise EdgemlError(what, where=where, mend=mend)
        return found
