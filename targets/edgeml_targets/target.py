"""Targets: one piece of hardware with one runtime, described in a TOML file in `hardware/`. The folder is the list.

What several have in common of how they want their integers stands in `schemes/`, a file each, which a target's table
`[scheme]` names as `like`. A project may add its own descriptions in a folder `targets/` of its own. Host only: a device
gets resolved settings.
"""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pydantic

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Precision, Settings
from edgeml_targets.runtimes import find_runtime

HARDWARE: Final = Path(__file__).parent / "hardware"
SCHEMES: Final = Path(__file__).parent / "schemes"
COMMON_SCHEME: Final = "common"
DEFAULT_TARGET: Final = "x86_64-onnxruntime"
OWN_TARGETS: Final = "targets"  # the folder of a project's own descriptions


class Described(pydantic.BaseModel):
    """What people write: unknown keys are refused, nothing changes afterwards."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


def _operator(name: str) -> str:
    if not name[:1].isupper() or not name.isalnum():
        raise ValueError(f"{name!r} is no ONNX operator's name, such as Conv")
    return name


Operator = Annotated[str, pydantic.AfterValidator(_operator)]
Operators = tuple[Operator, ...]


class Fusion(Described):
    """An activation that a runtime computes within the operator before it, so that no tensor lies between the two.

    Args:
        after: ONNX operators that take the activation over.
        activation: The activation's operator.
        limits: Of a Clip, lowest and highest: those alone are fused.
    """

    after: Annotated[Operators, pydantic.Field(min_length=1)]
    activation: Operator
    limits: tuple[float, float] | None = None

    @pydantic.model_validator(mode="after")
    def _check_limits(self) -> Fusion:
        if (self.activation == "Clip") != (self.limits is not None):
            raise ValueError("a Clip, and nothing else, has limits, [lowest, highest]")
        if self.limits is not None and self.limits[0] >= self.limits[1]:
            raise ValueError(f"the lowest limit {self.limits[0]} is not below the highest {self.limits[1]}")
        return self


class Scheme(Described):
    """How a target wants its integers: data, because it is measured per target.

    What is left out stands in the file of `schemes/` that `like` names, or in the one that this one is like, and so on;
    `like` left out is the one for all. `more_operators` are added to the `operators` found so.

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
        least_summands: A convolution that adds up fewer products for one value of its output stays in float: a depthwise one
            of 3x3 adds up 9, one of 1x1 as many as it has input channels.
        least_products: A Gemm or MatMul that multiplies fewer numbers with its weight, and whose result float operators alone
            read, stays in float.
        zero_points_from: A range that reaches to both sides of 0 gets signed integers and no zero point where the step grows
            by less than so many times, 1 and up. `None`: what `activations_signed` says, whatever the range.
        activation_products: Whether a MatMul or Gemm of two activations becomes integers as well, and a MatMul with a constant
            of more axes than two, which runtimes compute alike.
        float_results: Operators whose kernels take integers and give float as well: where no integer operator reads the
            result, it is not rounded.
        dynamic_operators: Operators that find their input's scale at run time faster than they would compute in float.
        fusions: Activations that are computed within the operator before them.
        same_scale: Operators that only move values, so that their inputs and outputs share one encoding.
        constant_operands: Operators whose constants are values like any other, with an encoding of their own.
    """

    activations_signed: bool = False
    activations_symmetric: bool = False
    activation_bits: tuple[Literal[8, 16], ...] = (8,)
    weights_per_channel: bool = True
    weight_bits: Annotated[int, pydantic.Field(ge=2, le=8)] = 8
    pair_sum: Annotated[int, pydantic.Field(ge=2, le=254)] | None = None
    weight_blocks: tuple[Annotated[int, pydantic.Field(ge=8)], ...] = ()
    operators: Operators
    least_summands: Annotated[int, pydantic.Field(ge=0)] = 0
    least_products: Annotated[int, pydantic.Field(ge=0)] = 0
    zero_points_from: Annotated[float, pydantic.Field(ge=1.0)] | None = None
    activation_products: bool = True
    float_results: Operators = ()
    dynamic_operators: Operators = ()  # these four are in the scheme for all, so that none is ever empty for want of a key
    fusions: tuple[Fusion, ...] = ()
    same_scale: Operators = ()
    constant_operands: Operators = ()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _complete(cls, given: object) -> object:
        return _completed(given) if isinstance(given, Mapping) else given


def _completed(given: Mapping[str, Any], seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a scheme's keys with those of the scheme that it is like; `seen` are the names on the way to it.

    Raises:
        ValueError: There is none of that name, or they are like each other in a circle.
    """
    own = dict(given)
    name = own.pop("like", None if COMMON_SCHEME in seen else COMMON_SCHEME)
    more = own.pop("more_operators", [])
    if not isinstance(more, list):
        raise ValueError("more_operators is no list of ONNX operators")
    if name is not None:
        if name in seen or not isinstance(name, str) or not (path := SCHEMES / f"{name}.toml").is_file():
            known = ", ".join(sorted(path.stem for path in SCHEMES.glob("*.toml")))
            raise ValueError(f"there is no scheme {name!r} to be like, choose one of {known}")
        own = {**_completed(_shared(path), (*seen, name)), **own}
    if more and not isinstance(own["operators"], list | tuple):
        raise ValueError("operators is no list of ONNX operators")
    if more:
        own["operators"] = [*own["operators"], *more]
    return own


@functools.cache
def _shared(path: Path) -> Mapping[str, Any]:
    return tomllib.loads(path.read_text())


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
        EdgemlError: There is none of that name (the nearest is given, and where it was looked for), or its file is wrong.
    """
    for folder in _folders(own):
        if name in {path.stem for path in folder.glob("*.toml")}:
            return _read(folder / f"{name}.toml")
    known = target_names(own)
    begun = [full for full in known if name and full.startswith(name)]  # a name cut short
    near = begun or difflib.get_close_matches(name, known, n=1)
    mend = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(known)}"
    places = "" if own is None else f" in {' or '.join(map(str, _folders(own)))}"
    raise EdgemlError(f"no such target{places}", where=name, mend=mend)


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
