"""LiteRT: `.tflite` artifacts by `ai_edge_litert`, or by `tflite_runtime` where only that is installed (Python 3.10 and older).

A file that we wrote carries how its layout stands to the float model's (contract/layout.py), so its session speaks the
model's. A file from elsewhere is taken as it is, layout and names.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgeml_targets.artifacts import MAKE_AGAIN, read_head, reason, refuse, require_device, require_float32, what_it_is
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.layout import METADATA_NAME, Metadata, Port
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor
from edgeml_targets.runtimes import Tensors

_LIBRARY: Final = "LiteRT"
_BANNER: Final = b"Created TensorFlow Lite XNNPACK delegate"
_ONE_BANNER: Final = threading.Lock()
_banner_came = False  # it comes once a process
_IDENTIFIER: Final = b"TFL3"
_BUFFERS, _METADATA = 4, 6  # fields of the schema's table `Model`
_METADATA_NAME, _METADATA_BUFFER, _BUFFER_DATA = 0, 1, 0


class LiteRtSession:
    """One artifact loaded by LiteRT."""

    def __init__(self, interpreter: Any, artifact: Path, metadata: Metadata) -> None:
        self._interpreter, self._artifact, self._metadata = interpreter, artifact, metadata
        self.inputs = tuple(port.tensor for port in metadata.inputs)
        self.outputs = tuple(port.tensor for port in metadata.outputs)
        details = interpreter.get_input_details()
        self._fed = [(port, int(d["index"])) for port, d in zip(metadata.inputs, details, strict=True)]
        self._shapes = [] if _waits(details) else [tuple(map(int, d["shape"])) for d in details]
        answers = [int(d["index"]) for d in interpreter.get_output_details()]
        self._read = list(zip(metadata.outputs, answers, strict=True))

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Return every output by name.

        Raises:
            EdgemlError: An input is missing, has another shape or element type than the model's, or another value than the
                artifact was made for.
        """
        interpreter = self._interpreter
        try:
            for fixed in self._metadata.fixed:
                if fixed.name in inputs:
                    fixed.check(inputs[fixed.name])
            arrays = [port.to_file(inputs[port.tensor.name]) for port, _ in self._fed]
            self._resize([array.shape for array in arrays])
            for (_, index), array in zip(self._fed, arrays, strict=True):
                interpreter.set_tensor(index, array)
            interpreter.invoke()
            return {port.tensor.name: port.to_model(interpreter.get_tensor(index)) for port, index in self._read}
        except KeyError as error:
            what, mend = f"there is no input {error}", "feed every input by its name"
            raise EdgemlError(what, where=str(self._artifact), mend=mend) from error
        except (RuntimeError, ValueError, TypeError) as error:
            mend = "feed what the model's inputs ask for"
            raise EdgemlError(reason(error), where=str(self._artifact), mend=mend) from error

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        """Lay the memory out anew when an input has another shape than the last time."""
        if shapes == self._shapes:
            return
        for (port, index), shape in zip(self._fed, shapes, strict=True):
            _check_shape(port, shape)
            self._interpreter.resize_tensor_input(index, shape)
        self._shapes = []  # should the next line raise, the next call lays out again
        self._interpreter.allocate_tensors()
        self._shapes = shapes

    def close(self) -> None:
        """Let go of the artifact."""
        self._interpreter = None


class LiteRt:
    """Loads `.tflite` artifacts."""

    suffix = ".tflite"

    def version(self) -> str:
        """Return the installed version; ImportError when neither library is installed."""
        return str(_library()[1])

    def load(self, artifact: Path, settings: Settings) -> LiteRtSession:
        """Return a session.

        Raises:
            EdgemlError: The file is not there or damaged, or LiteRT lacks an operator, the precision or the device.
        """
        module, _ = _library()
        head = read_head(artifact)
        require_float32(settings, _LIBRARY)
        require_device(settings, _LIBRARY, ("cpu",))
        if head[4:8] != _IDENTIFIER:
            raise EdgemlError(what_it_is(head, "a TFLite file"), where=str(artifact), mend=MAKE_AGAIN)
        try:
            with _without_banner():
                interpreter = module.Interpreter(model_path=str(artifact), num_threads=settings.threads)
                if not _waits(interpreter.get_input_details()):
                    interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise refuse(artifact, _LIBRARY, error) from error
        content = read_metadata(artifact)
        metadata = Metadata.from_json(content, where=str(artifact)) if content else _as_it_is(interpreter)
        if (len(metadata.inputs), len(metadata.outputs)) != (
            len(interpreter.get_input_details()),
            len(interpreter.get_output_details()),
        ):
            raise EdgemlError("its metadata describes another file", where=str(artifact), mend=MAKE_AGAIN)
        return LiteRtSession(interpreter, artifact, metadata)


@contextlib.contextmanager
def _without_banner() -> Iterator[None]:
    """Keep LiteRT's "Created TensorFlow Lite XNNPACK delegate" off standard error; it offers no switch for it.

    The file descriptor is put aside while the first interpreter is made; whatever else was written there is passed on.
    """
    global _banner_came
    with _ONE_BANNER:
        if _banner_came:
            yield
            return
        sys.stderr.flush()
        kept = os.dup(2)
        with tempfile.TemporaryFile() as caught:
            os.dup2(caught.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(kept, 2)
                os.close(kept)
                caught.seek(0)
                lines = caught.read().splitlines(keepends=True)
                _banner_came = any(_BANNER in line for line in lines)
                os.write(2, b"".join(line for line in lines if _BANNER not in line))


def read_metadata(artifact: Path, name: str = METADATA_NAME) -> bytes | None:
    """Return what a TFLite file carries as metadata under `name`, or `None`.

    It walks the flatbuffer itself, since tflite_runtime ships no schema and a device should not load one for this.

    Raises:
        EdgemlError: An offset leads out of the file.
    """
    content = artifact.read_bytes()
    try:
        model = _u32(content, 0)
        for entry in _tables(content, _field(content, model, _METADATA)):
            if _bytes(content, _field(content, entry, _METADATA_NAME)) == name.encode():
                place = _field(content, entry, _METADATA_BUFFER)
                buffer = _tables(content, _field(content, model, _BUFFERS))[_u32(content, place) if place else 0]
                return _bytes(content, _field(content, buffer, _BUFFER_DATA))
    except (struct.error, IndexError) as error:
        raise EdgemlError("its metadata is damaged", where=str(artifact), mend=MAKE_AGAIN) from error
    return None


def _u32(content: bytes, place: int) -> int:
    return int(struct.unpack_from("<I", content, place)[0])


def _field(content: bytes, table: int, number: int) -> int:
    """Return where a table's field lies, 0 when it is absent. Source: flatbuffers.dev/internals, "Tables"."""
    vtable = table - struct.unpack_from("<i", content, table)[0]
    size = struct.unpack_from("<H", content, vtable)[0]
    slot = 4 + 2 * number
    offset = struct.unpack_from("<H", content, vtable + slot)[0] if slot < size else 0
    return table + offset if offset else 0


def _bytes(content: bytes, place: int) -> bytes:
    if not place:
        return b""
    start = place + _u32(content, place)
    return content[start + 4 : start + 4 + _u32(content, start)]


def _tables(content: bytes, place: int) -> list[int]:
    if not place:
        return []
    start = place + _u32(content, place)
    count = min(_u32(content, start), len(content) // 4)
    return [at + _u32(content, at) for at in range(start + 4, start + 4 + 4 * count, 4)]


def _library() -> tuple[ModuleType, str]:
    import importlib
    import importlib.metadata

    try:
        module = importlib.import_module("ai_edge_litert.interpreter")
        return module, importlib.metadata.version("ai-edge-litert")
    except ImportError:
        module = importlib.import_module("tflite_runtime.interpreter")
        return module, importlib.metadata.version("tflite-runtime")


def _as_it_is(interpreter: Any) -> Metadata:
    def ports(details: list[dict[str, Any]]) -> tuple[Port, ...]:
        return tuple(Port(Tensor(d["name"], str(np.dtype(d["dtype"])), _shape(d))) for d in details)

    return Metadata(inputs=ports(interpreter.get_input_details()), outputs=ports(interpreter.get_output_details()))


def _shape(detail: dict[str, Any]) -> tuple[int, ...]:
    signature = detail.get("shape_signature")
    return tuple(map(int, signature if signature is not None and len(signature) else detail["shape"]))


def _waits(inputs: list[dict[str, Any]]) -> bool:
    """Tell whether memory is laid out at the first inference only: a size other than the batch is free.

    It is 1 in the file, and a network that halves an image five times has no answer for that.
    """
    return any(size == -1 for detail in inputs for size in _shape(detail)[1:])


def _check_shape(port: Port, shape: tuple[int, ...]) -> None:
    """Raise unless a fixed axis has its size: LiteRT would resize it too, and answer nonsense."""
    asked = port.tensor.shape
    wanted = tuple(asked[axis] for axis in port.permutation) if port.permutation else asked
    if len(wanted) != len(shape) or any(w not in (-1, s) for w, s in zip(wanted, shape, strict=True)):
        raise ValueError(f"input {port.tensor.name} takes the shape {asked}, given in the file's layout is {shape}")


RUNTIME: Final = LiteRt()
