"""TensorRT: its artifacts are `.onnx` QDQ graphs, from which the device builds its own engine. They are not run here yet.

An engine holds for one GPU and one version of TensorRT only, so the artifact stays the graph. What we write keeps to
TensorRT's rules (symmetric, per-channel weights); the device's own `trtexec --onnx=FILE --int8` builds and times it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn

from edgeml_targets.artifacts import read_head
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings


class TensorRt:
    """Names the artifact's format; loads nothing yet."""

    suffix = ".onnx"

    def version(self) -> str:
        """Return the installed version; ImportError when it is not installed."""
        import tensorrt

        return str(tensorrt.__version__)

    def load(self, artifact: Path, settings: Settings) -> NoReturn:
        """Say what is missing.

        Raises:
            EdgemlError: Always: TensorRT is not installed here, or it is and edgeml does not run its engines yet.
        """
        read_head(artifact)
        mend = f"time it on the device: trtexec --onnx={artifact.name} --int8"
        try:
            version = self.version()
        except ImportError as error:
            raise EdgemlError("TensorRT is not installed here", where=settings.target, mend=mend) from error
        raise EdgemlError(f"edgeml does not run TensorRT {version} engines yet", where=settings.target, mend=mend)


RUNTIME: Final = TensorRt()
