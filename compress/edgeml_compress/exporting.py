"""Write a model for a target; where its format needs a size or a value that the samples know, it is fixed for good.

LiteRT unrolls recurrent layers, so the length of a sequence must be known, and takes one branch of an If, so what decides
must be. Each is fixed only where the model cannot be expressed without:
1. As it is.
2. With every free size that is the same in all samples; a size of 1, such as a batch of one sample, stays free.
3. With every whole number that is fed, and is the same in all samples, as a constant besides. A session of the artifact
   refuses another value.

All samples are meant, also those held back: one that differs shows that the model is fed otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_compress.graph.layers import name_of
from edgeml_compress.graph.running import Samples, batches
from edgeml_compress.judging.choice import FLOAT
from edgeml_compress.source import Source
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import NotExpressed
from edgeml_targets.contract.stored import Rows
from edgeml_targets.exporters import find_exporter
from edgeml_targets.exporters.tflite import fix_inputs
from edgeml_targets.models import read_model
from edgeml_targets.target import Target


@dataclass(frozen=True)
class Fixed:
    """What an artifact takes no other of than the samples had.

    Args:
        shapes: By an input's name, -1 for a size that stays free.
        values: Inputs that became constants; the artifact has them no more.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    values: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """It in a sentence, empty where nothing was fixed."""
        sizes = [f"{name} takes ({_sizes(shape)}) alone" for name, shape in self.shapes.items()]
        constants = [f"{name} is {value.item()} for good" for name, value in self.values.items()]
        told = " and ".join(", ".join(part) for part in (sizes, constants) if part)
        return f"As in all samples, {told}: the target's format cannot leave it free." if told else ""


def write(model: ir.Model, encodings: Encodings, target: Target, path: Path, splits: Sequence[Samples]) -> Fixed:
    """Write a model at `path` in a target's format, and return what had to be fixed for it.

    Args:
        model: Any graph of the model; it is not changed.
        encodings: Its tensors'.
        target: Whom for.
        path: The artifact.
        splits: All samples that the model is fed, whatever for; none: nothing can be fixed.

    Raises:
        NotExpressed: The format cannot express an operator, whatever is fixed.
        EdgemlError: The file cannot be written, or what it needs is not installed.
    """
    refused: NotExpressed | None = None
    for fixed in _ways(model, splits):
        try:
            taken = fix_inputs(model, fixed.shapes, fixed.values) if fixed.note else model
            find_exporter(target.suffix).export(taken, encodings, path)
            return fixed
        except NotExpressed as error:
            refused = error
    assert refused is not None  # there is always one way, the model as it is
    raise refused


def write_float(source: Source, target: Target, folder: Path) -> tuple[Path, Fixed]:
    """Return the float model as the target loads it, written into `folder` unless it is the model's own file, and what was fixed.

    Raises:
        EdgemlError: See `write`.
    """
    path = folder / f"{source.path.stem}.{FLOAT}{target.suffix}"
    if target.suffix != source.path.suffix:
        return path, write(read_model(source.path), Encodings(), target, path, source.splits)
    weights = (v.const_value for v in source.model.graph.initializers.values())
    if not any(isinstance(w, ir.ExternalTensor) for w in weights):
        return source.path, Fixed()
    find_exporter(target.suffix).export(source.model, Encodings(), path)  # an artifact is one file
    return path, Fixed()


def _ways(model: ir.Model, splits: Sequence[Samples]) -> Iterator[Fixed]:
    yield Fixed()
    if not splits:
        return
    feeds = [next(batches(model, samples, most=1)).feed for samples in splits]
    inputs = [v for v in model.graph.inputs if all(v.name in feed for feed in feeds)]
    shapes = {name_of(v): _shape(v, [feed[name_of(v)].shape for feed in feeds]) for v in inputs if v.shape is not None}
    shapes = {name_of(v): shapes[name_of(v)] for v in inputs if shapes.get(name_of(v), ()) != _declared(v)}
    if shapes:
        yield Fixed(shapes)
    values = {
        name: feeds[0][name]
        for name in (name_of(v) for v in inputs)
        if _never_changes([samples[name] for samples in splits], feeds[0][name])
    }
    if values:
        yield Fixed({name: shape for name, shape in shapes.items() if name not in values}, values)


def _declared(value: ir.Value) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else -1 for size in value.shape or ())


def _shape(value: ir.Value, fed: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the sizes that are declared or, but for 1, the same in all that is fed; -1 for the others."""
    alike = (sizes[0] if set(sizes) == {sizes[0]} and sizes[0] != 1 else -1 for sizes in zip(*fed, strict=True))
    return tuple(known if known >= 0 else size for known, size in zip(_declared(value), alike, strict=True))


def _never_changes(arrays: Sequence[Rows], first: npt.NDArray[Any]) -> bool:
    """Tell whether there are two samples or more of an input that is one whole number, and all are as the first."""
    if first.dtype.kind not in "iub" or first.size != 1 or sum(map(len, arrays)) < 2:
        return False
    return all(bool((np.asarray(array) == first.item()).all()) for array in arrays)


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join("any" if size < 0 else str(size) for size in shape)
