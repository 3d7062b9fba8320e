"""OpenVINO: reads our `.onnx` artifacts, a QDQ graph too, which its low precision transformations turn into integers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgeml_targets.artifacts import MAKE_AGAIN, plain, read_head, reason, refuse, require_device, what_it_is
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor
from edgeml_targets.runtimes import Tensors

_LIBRARY: Final = "OpenVINO"
_SINK: Final = "/sink_port_"
_FRONT_ENDS: Final[Mapping[str, str]] = {
    ".xml": "ir"
}  # what other tools wrote for OpenVINO; all else is taken for ONNX
_PRECISIONS: Final[Mapping[str, str]] = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


class OpenVinoSession:
    """One artifact compiled by OpenVINO."""

    def __init__(self, compiled: Any, model: Any, artifact: Path) -> None:
        self._artifact = artifact
        self.inputs = tuple(_tensor(port, port.get_node()) for port in model.inputs)
        self.outputs = tuple(_tensor(port, port.get_node()) for port in model.outputs)
        self._request = compiled.create_infer_request()
        self._fed: list[Any] = []  # OpenVINO reads our arrays where they lie, so they must live until it has

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Return every output by name.

        Raises:
            EdgemlError: An input is missing, or has another shape or element type than the model's.
        """
        import openvino

        request = self._request
        try:
            self._fed = [openvino.Tensor(plain(inputs[port.name]), shared_memory=True) for port in self.inputs]
            for index, tensor in enumerate(self._fed):
                request.set_input_tensor(index, tensor)
            request.infer(share_outputs=True)
            return {port.name: request.get_output_tensor(i).data.copy() for i, port in enumerate(self.outputs)}
        except KeyError as error:
            what, mend = f"there is no input {error}", "feed every input by its name"
            raise EdgemlError(what, where=str(self._artifact), mend=mend) from error
        except (RuntimeError, TypeError, ValueError) as error:
            what, mend = _last_line(error), "feed what the model's inputs ask for"
            raise EdgemlError(what, where=str(self._artifact), mend=mend) from error

    def close(self) -> None:
        """Let go of the artifact."""
        self._request, self._fed = None, []


class OpenVino:
    """Loads `.onnx` artifacts, and an IR (`.xml`, its `.bin` beside it) that another tool wrote."""

    suffix = ".onnx"

    def version(self) -> str:
        """Return the installed version; ImportError when it is not installed."""
        import openvino

        return str(openvino.__version__).split("-", maxsplit=1)[0]

    def load(self, artifact: Path, settings: Settings) -> OpenVinoSession:
        """Return a session.

        Raises:
            EdgemlError: The file is not there or damaged, or OpenVINO lacks an operator, the precision or the device.
        """
        import openvino

        head = read_head(artifact)
        core = openvino.Core()
        devices = {"cpu" if name == "CPU" else name: name for name in core.available_devices}
        require_device(settings, _LIBRARY, tuple(devices))
        model = _read(artifact, head)
        asked = _PRECISIONS[settings.precision]
        try:
            compiled = core.compile_model(model, devices[settings.device], _properties(settings, asked))
            precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        except (RuntimeError, TypeError, ValueError) as error:
            raise refuse(artifact, _LIBRARY, RuntimeError(_last_line(error))) from error
        if precision != asked:
            what = f"precision is {settings.precision}, and OpenVINO computes in {precision} on this {settings.device}"
            raise EdgemlError(what, where=settings.target, mend='set precision = "float32" in the target')
        return OpenVinoSession(compiled, model, artifact)


def _read(artifact: Path, head: bytes) -> Any:
    """Read with one front end alone: asking for any would try TensorFlow's too, which logs over standard error."""
    from openvino.frontend import FrontEndManager, GeneralFailure, OpConversionFailure, OpValidationFailure

    front_end = FrontEndManager().load_by_framework(_FRONT_ENDS.get(artifact.suffix, "onnx"))
    try:
        model = front_end.convert(front_end.load(str(artifact)))
    except GeneralFailure as error:
        raise EdgemlError(what_it_is(head, "an ONNX file"), where=str(artifact), mend=MAKE_AGAIN) from error
    except (OpConversionFailure, OpValidationFailure, RuntimeError, TypeError, ValueError) as error:
        raise refuse(artifact, _LIBRARY, RuntimeError(_last_line(error))) from error
    if not model.outputs:
        raise EdgemlError("the model has no outputs", where=str(artifact), mend=MAKE_AGAIN)
    return model


def _properties(settings: Settings, precision: str) -> dict[str, str]:
    cpu = {"INFERENCE_NUM_THREADS": str(settings.threads), "ENABLE_CPU_PINNING": "NO"}
    # Not pinned: a neighbour on the pinned core would slow every inference, while the other cores idle.
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_PRECISION_HINT": precision,
        **(cpu if settings.device == "cpu" else {}),
    }


def _tensor(port: Any, node: Any) -> Tensor:
    """Describe a port by ONNX's name for it; a port may carry other names, of tensors that were merged into it."""
    friendly = node.get_friendly_name().split(_SINK, maxsplit=1)[0]
    names = port.get_names()
    shape = port.get_partial_shape()
    dims = [] if shape.rank.is_dynamic else [-1 if dim.is_dynamic else dim.get_length() for dim in shape]
    dtype = str(np.dtype(port.get_element_type().to_dtype()))
    return Tensor(friendly if friendly in names or not names else min(names), dtype, tuple(dims))


def _last_line(error: Exception) -> str:
    """Return what went wrong: OpenVINO says first where in its sources, then what."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return reason(RuntimeError(lines[-1] if lines else type(error).__name__))


RUNTIME: Final = OpenVino()
