"""PyTorch: programs that `torch.export.save` wrote, `.pt2`. For the host: comparing with it, and models that never were ONNX.

Torch forgets the names of outputs. A program that was saved with `extra_files={METADATA_NAME: metadata.to_json()}`
(contract/layout.py) has the float model's names; else inputs are called as the arguments and outputs as torch's nodes.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from edgeml_targets.artifacts import (
    MAKE_AGAIN,
    plain,
    read_head,
    reason,
    refuse,
    require_device,
    require_float32,
    what_it_is,
)
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.layout import METADATA_NAME, Metadata
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor
from edgeml_targets.runtimes import Tensors

_LIBRARY: Final = "PyTorch"
_DAMAGED: Final = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    OSError,
    EOFError,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)


class TorchSession:
    """One program loaded by torch."""

    def __init__(self, program: Any, artifact: Path, metadata: Metadata | None, device: str) -> None:
        self._artifact, self._device = artifact, device
        self._module = program.module().to(device)
        self._in_spec = program.call_spec.in_spec
        self.inputs, self.outputs = _ports(program)
        if metadata is not None:
            self.inputs = tuple(port.tensor for port in metadata.inputs)
            self.outputs = tuple(port.tensor for port in metadata.outputs)

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Return every output by name.

        Raises:
            EdgemlError: An input is missing, or has another shape or element type than the model's.
        """
        import torch
        from torch.utils import _pytree as pytree

        try:
            leaves = [torch.from_numpy(plain(inputs[port.name])).to(self._device) for port in self.inputs]
            args, kwargs = pytree.tree_unflatten(leaves, self._in_spec)
            with torch.inference_mode():
                answers = pytree.tree_leaves(self._module(*args, **kwargs))
            return {port.name: answer.cpu().numpy() for port, answer in zip(self.outputs, answers, strict=True)}
        except KeyError as error:
            what, mend = f"there is no input {error}", "feed every input by its name"
            raise EdgemlError(what, where=str(self._artifact), mend=mend) from error
        except (RuntimeError, TypeError, ValueError, IndexError, AssertionError) as error:
            mend = "feed what the model's inputs ask for"
            raise EdgemlError(reason(error), where=str(self._artifact), mend=mend) from error

    def close(self) -> None:
        """Let go of the artifact."""
        self._module = None


class Torch:
    """Loads `.pt2` programs."""

    suffix = ".pt2"

    def version(self) -> str:
        """Return the installed version; ImportError when it is not installed."""
        import torch

        return str(torch.__version__)

    def load(self, artifact: Path, settings: Settings) -> TorchSession:
        """Return a session; the number of threads is torch's own setting and holds for the whole process.

        A program can hold code: load only what you or edgeml exported.

        Raises:
            EdgemlError: The file is not there or no program, or torch lacks the precision or the device.
        """
        import torch

        head = read_head(artifact)
        require_float32(settings, _LIBRARY)
        cuda = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
        require_device(settings, _LIBRARY, ("cpu", *cuda))
        if not zipfile.is_zipfile(artifact):  # torch would log a traceback before it raises
            raise EdgemlError(what_it_is(head, "a torch program"), where=str(artifact), mend=MAKE_AGAIN)
        torch.set_num_threads(settings.threads)
        extra = {METADATA_NAME: ""}
        try:
            program = torch.export.load(artifact, extra_files=extra)
            content = extra[METADATA_NAME]
            metadata = Metadata.from_json(content.encode(), where=str(artifact)) if content else None
            return TorchSession(program, artifact, metadata, settings.device)
        except _DAMAGED as error:
            raise refuse(artifact, _LIBRARY, error) from error


def _ports(program: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return a program's inputs and outputs under torch's names for them."""
    nodes = {node.name: node for node in program.graph.nodes}
    signature = program.graph_signature
    inputs = tuple(_tensor(name, nodes[name]) for name in signature.user_inputs)
    return inputs, tuple(_tensor(name, nodes[name]) for name in signature.user_outputs)


def _tensor(name: str, node: Any) -> Tensor:
    value = node.meta["val"]
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    return Tensor(name, str(value.dtype).removeprefix("torch."), shape)


RUNTIME: Final = Torch()
