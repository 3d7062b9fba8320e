"""Targets: one piece of hardware with one runtime, described in a TOML file in `hardware/`. The folder is the list.

A project may add its own descriptions in a folder `targets/` of its own. Host only: a device gets resolved settings.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import pydantic

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Precision, Settings
from edgeml_targets.runtimes import find_runtime

HARDWARE: Final = Path(__file__).parent / "hardware"
DEFAULT_TARGET: Final = "x86_64-onnxruntime"


class Described(pydantic.BaseModel):
    """What people write: unknown keys are refused, nothing changes afterwards."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Scheme(Described):
    """How a target wants its integers: data, because it is measured per target.

    Args:
        activations_signed: Signed 8-bit activations, else unsigned.
        activations_symmetric: Zero point 0 (signed) instead of one that fits the range.
        activation_bits: Widths that the runtime has for activations: 8, and 16 where a model may ask for that.
        weights_per_channel: One weight scale an output channel.
        weight_bits: Width of the weights' range.
        pair_sum: Largest sum of two neighbouring integer weights of one sign, `None` unlimited: CPUs without VNNI add two
            products with unsigned activations in 16 bits, where 255 * 128 still fits. 126 leaves room for any rounding.
        weight_blocks: Numbers of values that may share a scale in weights which are computed with in float, the widest
            first; none where the runtime has no form that it folds when it loads.
        operators: ONNX operators whose inputs and outputs become integers.
        float_results: Operators whose kernels take integers and give float as well: where no integer operator reads the
            result, it is not rounded.
        dynamic_operators: Operators that find their input's scale at run time faster than they would compute in float.
    """

    activations_signed: bool = False
    activations_symmetric: bool = False
    activation_bits: tuple[Literal[8, 16], ...] = (8,)
    weights_per_channel: bool = True
    weight_bits: Annotated[int, pydantic.Field(ge=2, le=8)] = 8
    pair_sum: Annotated[int, pydantic.Field(ge=2, le=254)] | None = None
    weight_blocks: tuple[Annotated[int, pydantic.Field(ge=8)], ...] = ()
    operators: tuple[str, ...]
    float_results: tuple[str, ...] = ()
    dynamic_operators: tuple[str, ...] = ("MatMul", "Gemm")


class Target(Described):
    """One piece of hardware with one runtime.

    Args:
        name: `<hardware>-<runtime>`, the file's name.
        title: The hardware for people, "Raspberry Pi 5".
        runtime: A runtime's name.
        architecture: What `platform.machine()` prints there.
        cpu_features: Of these the processor has at least one, by the kernel's names; empty asks for none.
        memory_bytes: The hardware's memory.
        threads: Threads of one inference.
        precision: What floating point operators compute in.
        device: `cpu`, or an accelerator.
        scheme: How it wants its integers.
    """

    name: str
    title: str
    runtime: str
    architecture: Literal["x86_64", "aarch64", "armv7l"]
    cpu_features: tuple[str, ...] = ()
    memory_bytes: Annotated[int, pydantic.Field(gt=0)]
    threads: Annotated[int, pydantic.Field(ge=1)]
    precision: Precision = "float32"
    device: str = "cpu"
    scheme: Scheme

    @property
    def suffix(self) -> str:
        """The end of this target's artifacts' names."""
        return find_runtime(self.runtime).suffix

    def settings(self, *, threads: int | None = None) -> Settings:
        """Return what the runtime needs, with another number of threads where one is given."""
        return Settings(
            target=self.name,
            runtime=self.runtime,
            threads=threads or self.threads,
            precision=self.precision,
            device=self.device,
        )


def target_names(own: Path | None = None) -> list[str]:
    """Return the names of all targets, sorted; `own` is a project's folder of further descriptions."""
    return sorted({path.stem for folder in _folders(own) for path in folder.glob("*.toml")})


def find_target(name: str, own: Path | None = None) -> Target:
    """Return a target by name.

    Raises:
        EdgemlError: There is none of that name (the nearest is given), or its file is wrong.
    """
    for folder in _folders(own):
        if name in {path.stem for path in folder.glob("*.toml")}:
            return _read(folder / f"{name}.toml")
    near = difflib.get_close_matches(name, target_names(own), n=1)
    mend = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(target_names(own))}"
    raise EdgemlError("no such target", where=name, mend=mend)


def _folders(own: Path | None) -> Sequence[Path]:
    return [HARDWARE] if own is None else [own, HARDWARE]


def _read(path: Path) -> Target:
    try:
        return Target(name=path.stem, **tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError, pydantic.ValidationError) as error:
        first = str(error).splitlines()[0]
        if isinstance(error, pydantic.ValidationError):
            wrong = error.errors()[0]
            first = f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"
        raise EdgemlError(first, where=str(path), mend="compare with the files in edgeml_targets/hardware") from error
