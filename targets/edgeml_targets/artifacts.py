"""What every runtime does before and after its library: look at the file, hold the settings, put a foreign error in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings

MAKE_AGAIN: Final = "make it or fetch it again"
EXPORT_FROM_TORCH: Final = (
    'export it first: torch.onnx.export(model.eval(), (example,), "model.onnx", dynamo=True, '
    'dynamic_shapes=({0: "batch"},)) with an example batch of 2 or more'
)
TORCH_SUFFIXES: Final = (".pt", ".pth", ".pt2")
MOST_REASON_CHARACTERS: Final = 240
_HEAD_BYTES: Final = 512


def read_head(path: Path) -> bytes:
    """Return a file's first bytes, 512 at most.

    Raises:
        EdgemlError: There is no such file, it cannot be read, or it is empty.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        raise EdgemlError("no such file", where=str(path), mend="check the path") from error
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        raise EdgemlError(what, where=str(path), mend="give a file that you may read") from error
    if not head:
        raise EdgemlError("the file is empty", where=str(path), mend=MAKE_AGAIN)
    return head


def what_it_is(head: bytes, wanted: str) -> str:
    """Say what a file that is not what was `wanted` ("an ONNX file") seems to be instead, from its first bytes."""
    if head.startswith(b"version https://git-lfs"):
        return f"a Git LFS pointer, not {wanted} itself (git lfs pull fetches it)"
    if head[4:8] == b"TFL3":
        return f"a LiteRT file, not {wanted}"
    if head.lstrip().startswith(b"<"):
        return f"a web page, not {wanted}"
    if all(byte >= 32 or byte in b"\t\n\r" for byte in head) and head.isascii():
        return f"a text file, not {wanted}"
    return f"not {wanted}, or cut off"


def is_torch(path: Path, head: bytes) -> bool:
    """Tell by a file's name and its first bytes whether PyTorch wrote it; nothing is unpickled, which could run what is in it."""
    pickled = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    zipped = head.startswith(b"PK\x03\x04") and (b"/data.pkl" in head or b"/data/" in head or b"archive_format" in head)
    return path.suffix.lower() in TORCH_SUFFIXES or pickled or zipped


def reason(error: BaseException) -> str:
    """Return a foreign error's message on one line, without its full stop, cut where it grows long."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text if len(text) <= MOST_REASON_CHARACTERS else f"{text[:MOST_REASON_CHARACTERS]} ..."


def refuse(artifact: Path, library: str, error: BaseException) -> EdgemlError:
    """Return the error for an artifact that a library could not load, to be raised from `error`."""
    return EdgemlError(f"{library} cannot load it: {reason(error)}", where=str(artifact), mend=MAKE_AGAIN)


def plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array in C order and writeable, as libraries that read it where it lies want it; copied only if it is not."""
    return np.require(array, requirements=("C", "W"))


def require_float32(settings: Settings, library: str) -> None:
    """Hold a target to float32 where the library offers nothing else, rather than compute in it silently.

    Raises:
        EdgemlError: The settings ask for another precision.
    """
    if settings.precision != "float32":
        what = f"precision is {settings.precision}, and {library} computes in float32 on {settings.device}"
        raise EdgemlError(what, where=settings.target, mend='set precision = "float32" in the target')


def require_device(settings: Settings, library: str, devices: tuple[str, ...]) -> None:
    """Hold a target to the devices that a library has here.

    Raises:
        EdgemlError: The settings ask for another one.
    """
    if settings.device not in devices:
        what = f"device is {settings.device!r}, and {library} has {', '.join(devices)} here"
        raise EdgemlError(
            what, where=settings.target, mend="change the target's device, or run on a machine that has it"
        )
