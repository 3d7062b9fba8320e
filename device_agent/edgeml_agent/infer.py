"""A bundle that is loaded and answers, one inference at a time.

Every sample is run alone, also of a stack: then the time of one inference is what was benchmarked, and an answer does not
depend on its neighbours (a dynamically quantized network takes its scales from the whole batch).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml_agent.samples import Raw, finite, split_stack
from edgeml_agent.windows import Rows, joined
from edgeml_targets.contract.bundle import Bundle
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.reference import features, probabilities
from edgeml_targets.runtimes import Session, find_runtime

CHUNK_SAMPLES: Final = 32  # bounds what a large stack takes in float32 and in the features' float64
_MEND_BUNDLE: Final = "make the bundle again"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the model says of one sample.

    Args:
        label: The class's name.
        class_: Its number; `class` in JSON.
        confidence: Its probability, 0 to 1.
        unknown: Whether the input lies farther out than the bundle's threshold: then the label means little.
        distance: How far, 0 or more; see `KnownInputs`.
        latency_us: How long the inference took, without preprocessing.
    """

    label: str
    class_: int = msgspec.field(name="class")
    confidence: float
    unknown: bool
    distance: float
    latency_us: float


@dataclass(frozen=True)
class Engine:
    """A bundle whose artifact is loaded; one thread at a time uses it.

    Args:
        release: The release that the bundle is of.
        bundle: The bundle.
        session: Its artifact, loaded.
    """

    release: str
    bundle: Bundle
    session: Session

    def close(self) -> None:
        """Let go of the artifact."""
        self.session.close()

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """One input's shape without its batch axis, -1 where any size is taken."""
        shape = self.bundle.manifest.input.shape
        return shape[1:] if self.has_batch_axis else shape

    @property
    def has_batch_axis(self) -> bool:
        """Whether the first axis counts samples: it is free, or 1 in front of a sample that has axes of its own."""
        shape = self.bundle.manifest.input.shape
        return shape[:1] == (-1,) or (shape[:1] == (1,) and len(shape) > 1)

    def scores(self, ready: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], float]:
        """Run one input without its batch axis; return its scores, one a class, and the microseconds it took."""
        manifest = self.bundle.manifest
        fed = np.asarray(ready, manifest.input.dtype)
        if self.has_batch_axis:
            fed = fed[None]
        began = time.perf_counter_ns()
        outputs = self.session.run({manifest.input.name: fed})
        took_us = (time.perf_counter_ns() - began) / 1000
        return np.asarray(outputs[manifest.output.name], np.float32).reshape(-1), took_us

    def answer(self, sample: Raw, *, where: str) -> Rows:
        """Answer one raw sample or a stack of them, see `split_stack`; a row a sample.

        Raises:
            EdgemlError: It does not fit the model, is not finite, or the model's scores are not. Then nothing of the
                stack counts.
        """
        stack = split_stack(sample, self.bundle.manifest.preprocessing, len(self.sample_shape), where=where)
        return joined([self._answer(stack[i : i + CHUNK_SAMPLES], where) for i in range(0, len(stack), CHUNK_SAMPLES)])

    def answers(self, rows: Rows) -> list[Answer]:
        """Return `rows` as what a client is told."""
        labels, threshold = self.bundle.manifest.labels, self.bundle.manifest.reference.known.threshold
        columns = (rows.classes, rows.confidences, rows.distances, rows.latencies_us)
        return [
            Answer(
                label=labels[class_],
                class_=class_,
                confidence=round(confidence, 6),
                unknown=distance > threshold,
                distance=round(distance, 4),
                latency_us=round(latency_us, 1),
            )
            for class_, confidence, distance, latency_us in zip(*(c.tolist() for c in columns), strict=True)
        ]

    def _answer(self, stack: Raw, where: str) -> Rows:
        manifest = self.bundle.manifest
        ready = self._ready(stack, where)
        ran = [self.scores(one) for one in ready]
        scores = np.stack([s for s, _ in ran])
        if not np.isfinite(scores).all():
            raise EdgemlError("the model's scores are not finite", where=where, mend="send a sample it can judge")
        shares = probabilities(scores)
        found = features(ready, manifest.reference.smooth_axes)
        return Rows(
            classes=shares.argmax(1),
            confidences=shares.max(1).astype(np.float64),
            distances=manifest.reference.known.distance(found),
            features=found,
            latencies_us=np.array([us for _, us in ran]),
        )

    def _ready(self, stack: Raw, where: str) -> npt.NDArray[np.float32]:
        """Return raw samples as the network is fed, without batch axes: (samples, ...)."""
        try:
            with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, which is told below
                ready = self.bundle.manifest.preprocessing.stack(stack)
        except ValueError as error:
            raise EdgemlError(str(error), where=where, mend="send it as the bundle's preprocessing asks") from error
        asked = self.sample_shape
        fits = all(a in (-1, got) for a, got in zip(asked, ready.shape[1:], strict=False))
        if len(asked) != ready.ndim - 1 or not fits:
            raise EdgemlError(
                f"a sample's shape is {ready.shape[1:]} once preprocessed, the model takes {asked}",
                where=where,
                mend="send samples of the shape it was trained on",
            )
        return finite(ready, where=where)


def load_engine(release: str, bundle: Bundle) -> Engine:
    """Load a bundle's artifact.

    Raises:
        EdgemlError: The runtime is not installed, cannot load it, or it has other inputs and outputs than the manifest says.
    """
    manifest = bundle.manifest
    try:
        session = find_runtime(manifest.settings.runtime).load(bundle.artifact, manifest.settings)
    except ImportError as error:
        raise EdgemlError(
            f"the runtime is not installed: {error}",
            where=manifest.settings.runtime,
            mend=f"pip install edgeml[{manifest.settings.runtime}]",
        ) from error
    names = {t.name for t in session.inputs}, {t.name for t in session.outputs}
    if names[0] != {manifest.input.name} or manifest.output.name not in names[1]:
        session.close()
        raise EdgemlError(
            f"it takes {sorted(names[0])} and gives {sorted(names[1])}, the manifest says "
            f"{manifest.input.name} and {manifest.output.name}",
            where=str(bundle.artifact),
            mend=_MEND_BUNDLE,
        )
    return Engine(release, bundle, session)
