"""ONNX Runtime: `.onnx` artifacts on the CPU, or on CUDA where the target's device says `cuda:0`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from edgeml_targets.artifacts import read_head, reason, refuse, require_float32
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor
from edgeml_targets.runtimes import Tensors

_LIBRARY: Final = "ONNX Runtime"
_FATAL_ONLY: Final = 4  # everything milder comes as an exception too, and would be said twice
_CODE: Final = re.compile(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_DTYPES: Final[Mapping[str, str]] = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bfloat16)": "bfloat16",
    "tensor(string)": "str",
    "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


class OnnxRuntimeSession:
    """One artifact loaded by ONNX Runtime."""

    def __init__(self, session: Any, artifact: Path) -> None:
        self._session, self._artifact, self._errors = session, artifact, errors()
        self.inputs = tuple(_tensor(port, artifact) for port in session.get_inputs())
        self.outputs = tuple(_tensor(port, artifact) for port in session.get_outputs())
        self._names = [output.name for output in self.outputs]

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Return every output by name.

        Raises:
            EdgemlError: An input is missing, or has another shape or element type than the model's.
        """
        try:
            return dict(zip(self._names, self._session.run(self._names, inputs), strict=True))
        except self._errors as error:
            raise _translated(error, self._artifact) from error

    def close(self) -> None:
        """Let go of the artifact."""
        self._session = None


class OnnxRuntime:
    """Loads `.onnx` artifacts."""

    suffix = ".onnx"

    def version(self) -> str:
        """Return the installed version; ImportError when it is not installed."""
        import onnxruntime

        return str(onnxruntime.__version__)

    def load(self, artifact: Path, settings: Settings) -> OnnxRuntimeSession:
        """Return a session.

        Raises:
            EdgemlError: The file is not there or damaged, or ONNX Runtime lacks an operator, the precision or the device.
        """
        import onnxruntime

        read_head(artifact)
        require_float32(settings, _LIBRARY)
        providers = _providers(settings)
        try:
            session = onnxruntime.InferenceSession(str(artifact), _options(settings), providers=providers)
        except errors() as error:
            raise refuse(artifact, _LIBRARY, _uncoded(error)) from error
        if len(providers) > 1 and providers[0][0] not in session.get_providers():
            # It goes on with the CPU when CUDA's libraries do not load; a figure of the CPU must not pass for the GPU's.
            what = f"device is {settings.device!r}, and ONNX Runtime could not start CUDA"
            raise EdgemlError(
                what, where=settings.target, mend="install CUDA and cuDNN as this onnxruntime-gpu wants them"
            )
        return OnnxRuntimeSession(session, artifact)


def _options(settings: Settings) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    # Threads spin while an inference runs, which is what makes several worth having, and sleep after it: a device that
    # waits for its next sample burns nothing.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _providers(settings: Settings) -> list[tuple[str, dict[str, str]]]:
    import onnxruntime

    cpu: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
    if settings.device == "cpu":
        return [cpu]
    kind, _, index = settings.device.partition(":")
    if kind != "cuda" or not (index or "0").isdigit():
        what = f"device is {settings.device!r}, known to ONNX Runtime here are 'cpu' and 'cuda:0'"
        raise EdgemlError(what, where=settings.target, mend="change the target's device")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        what = f"device is {settings.device!r}, and this ONNX Runtime was built without CUDA"
        mend = "pip uninstall onnxruntime, then pip install onnxruntime-gpu, on a machine with an NVIDIA GPU"
        raise EdgemlError(what, where=settings.target, mend=mend)
    # Its default is TF32, whose 10 bits of mantissa are not the float32 that the target states.
    return [("CUDAExecutionProvider", {"device_id": index or "0", "use_tf32": "0"}), cpu]


def _tensor(port: Any, artifact: Path) -> Tensor:
    dtype = _DTYPES.get(port.type)
    if dtype is None:
        what = f"{port.name} is a {port.type}, edgeml runs tensors"
        raise EdgemlError(what, where=str(artifact), mend="export the model with tensors for inputs and outputs")
    return Tensor(port.name, dtype, tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in port.shape))


def errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that ONNX Runtime raises: its own have no base class in common."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception))
    return (*own, RuntimeError, ValueError)


def _translated(error: Exception, artifact: Path) -> EdgemlError:
    return EdgemlError(reason(_uncoded(error)), where=str(artifact), mend="feed what the model's inputs ask for")


def _uncoded(error: Exception) -> Exception:
    return RuntimeError(_CODE.sub("", str(error)))


RUNTIME: Final = OnnxRuntime()
