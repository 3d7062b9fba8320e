"""A TFLite file in the making: tensors, buffers and operators by number, then the bytes of the flatbuffer.

Nothing here knows ONNX or how numbers are quantized; the schema's classes are those of LiteRT's own wheel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from edgeml_targets.contract.encodings import Encoding
from edgeml_targets.contract.equal import Firsts
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.exporters.tflite_writer.shapes import Shape, at_rest
from edgeml_targets.exporters.tflite_writer.versions import Signature, version_of

Array = npt.NDArray[Any]
MOST_BYTES: Final = (1 << 31) - (1 << 20)  # a flatbuffer's offsets are 32 bits wide and signed
_BUFFER_ALIGNMENT: Final = 16  # the schema's `force_align`: kernels read constants in place, by vector loads
_SCHEMA_VERSION: Final = 3
_IDENTIFIER: Final = b"TFL3"
_SIGNATURE: Final = "serving_default"  # the key that LiteRT's own tools give a file's only signature

ELEMENT_TYPES: Final[Mapping[np.dtype[Any], int]] = {
    np.dtype(name): getattr(schema.TensorType, name.upper())
    for name in ("float32", "float16", "int8", "int16", "int32", "int64", "uint8", "bool")
}
OPERATOR_NAMES: Final[Mapping[int, str]] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)
}


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file.

    Args:
        shape: Its sizes, FREE where any size is taken.
        dtype: Its elements' type as they are stored.
        encoding: What stored integers mean, `None` for plain numbers.
        name: May be empty.
        content: A constant's elements, of the same shape; `None` for what is computed or given.
    """

    shape: Shape
    dtype: np.dtype[Any]
    encoding: Encoding | None = None
    name: str = ""
    content: Array | None = None


@dataclass(frozen=True)
class Port:
    """An input or output of the file: the tensor's number, and its name for those who call by name."""

    tensor: int
    name: str


@dataclass(frozen=True)
class Written:
    """A finished file.

    Args:
        content: The bytes of the flatbuffer, where they were built: a copy of a large network's would be felt.
        operators: How often each of LiteRT's operators stands in it, by name.
    """

    content: memoryview
    operators: Mapping[str, int]

    @property
    def transposes(self) -> int:
        """How many operators do nothing but move elements to another layout."""
        return self.operators.get("TRANSPOSE", 0)


class _Buffer:
    """Bytes in the file, aligned; it stands in for the schema's BufferT, whose `Pack` aligns to one byte."""

    def __init__(self, content: Array | None) -> None:
        self.content = content

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 (the name that ModelT.Pack calls)
        if self.content is None:
            schema.BufferStart(builder)
            return int(schema.BufferEnd(builder))
        builder.StartVector(1, self.content.size, _BUFFER_ALIGNMENT)
        builder.head -= self.content.size
        builder.Bytes[builder.head : builder.head + self.content.size] = self.content.data
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


class TfliteFile:
    """Collects tensors and operators in the order in which they run."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[int, int], int] = {}
        self._buffers: list[_Buffer] = [_Buffer(None)]  # number 0 is the empty one, by the format's rule
        self._buffer_of: dict[int, int] = {}
        self._known = Firsts[int]()
        self._names: dict[int, str] = {}
        self._count: Counter[str] = Counter()

    def add(self, tensor: Tensor) -> int:
        """Add a tensor and return its number; equal constants share their bytes."""
        number = len(self.tensors)
        self.tensors.append(tensor)
        if tensor.content is not None:
            self._buffer_of[number] = self._buffer(tensor.content)
        return number

    def constant(self, content: Array, *, name: str = "", encoding: Encoding | None = None) -> int:
        """Add a constant and return its number."""
        return self.add(Tensor(content.shape, content.dtype, encoding, name, content))

    def operator(self, code: int, inputs: Sequence[int], output: int, options: Any = None) -> None:
        """Add an operator that reads `inputs` and writes `output`; `options` is the schema's object for it."""
        version = version_of(Signature(code, tuple(self.tensors[i] for i in inputs), self.tensors[output], options))
        made = schema.OperatorT(inputs=list(inputs), outputs=[output])
        made.opcodeIndex = self._codes.setdefault((code, version), len(self._codes))
        if options is not None:
            made.builtinOptions = options
            made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._operators.append(made)
        self._count[OPERATOR_NAMES[code]] += 1

    def rename(self, number: int, name: str) -> None:
        """Give a tensor another name."""
        self._names[number] = name

    def finish(self, inputs: Sequence[Port], outputs: Sequence[Port], metadata: Mapping[str, bytes]) -> Written:
        """Return the file with these inputs, outputs and metadata.

        Raises:
            EdgemlError: It would be larger than a flatbuffer can be.
        """
        entries = [
            schema.MetadataT(name=name, buffer=self._buffer(np.frombuffer(content, np.uint8)))
            for name, content in metadata.items()
        ]
        size = sum(b.content.size for b in self._buffers if b.content is not None)
        if size > MOST_BYTES:
            what = f"its weights take {size} bytes, a .tflite file holds {MOST_BYTES}"
            raise EdgemlError(what, where="the model", mend="quantize its weights, or choose another runtime")
        graph = schema.SubGraphT(
            tensors=[self._packed(number) for number in range(len(self.tensors))],
            inputs=[port.tensor for port in inputs],
            outputs=[port.tensor for port in outputs],
            operators=self._operators,
            name="main",
        )
        model = schema.ModelT(
            version=_SCHEMA_VERSION,
            operatorCodes=[_code(code, version) for code, version in self._codes],
            subgraphs=[graph],
            buffers=self._buffers,
            metadata=entries,
            signatureDefs=[_signature(inputs, outputs)],
        )
        builder = flatbuffers.Builder(self._most_bytes(size))
        builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
        content = memoryview(builder.Bytes)[builder.Head() :]
        return Written(content.toreadonly(), dict(self._count))

    def _most_bytes(self, content_bytes: int) -> int:
        """Return about what the file takes; where that is too little, all of it is copied once more."""
        scales = sum(len(tensor.encoding.scale) for tensor in self.tensors if tensor.encoding is not None)
        alignment = _BUFFER_ALIGNMENT * len(self._buffers)
        return content_bytes + alignment + 16 * scales + 256 * (len(self.tensors) + len(self._operators)) + 4096

    def _buffer(self, content: Array) -> int:
        flat = np.ascontiguousarray(content).reshape(-1).view(np.uint8)
        number = self._known.first(flat, len(self._buffers))
        if number == len(self._buffers):
            self._buffers.append(_Buffer(flat))
        return number

    def _packed(self, number: int) -> Any:
        tensor = self.tensors[number]
        made = schema.TensorT(
            shape=list(at_rest(tensor.shape)),
            type=ELEMENT_TYPES[tensor.dtype],
            buffer=self._buffer_of.get(number, 0),
            name=self._names.get(number, tensor.name),
            hasRank=True,
        )
        if tensor.shape != at_rest(tensor.shape):
            made.shapeSignature = list(tensor.shape)
        if tensor.encoding is not None:
            made.quantization = schema.QuantizationParametersT(
                scale=np.asarray(tensor.encoding.scale, np.float32),
                zeroPoint=np.asarray(tensor.encoding.zero_point, np.int64),
                quantizedDimension=tensor.encoding.axis or 0,
            )
        return made


def _code(code: int, version: int) -> Any:
    most_deprecated = 127  # readers of before 2020 take this field, later ones the larger of the two
    return schema.OperatorCodeT(deprecatedBuiltinCode=min(code, most_deprecated), builtinCode=code, version=version)


def _signature(inputs: Sequence[Port], outputs: Sequence[Port]) -> Any:
    maps = [[schema.TensorMapT(name=p.name, tensorIndex=p.tensor) for p in ports] for ports in (inputs, outputs)]
    return schema.SignatureDefT(inputs=maps[0], outputs=maps[1], signatureKey=_SIGNATURE)
