"""A bundle tries itself on its golden samples: does it answer here as it answered on the host?

Integer arithmetic may round differently from one processor to the next, so answers are held against a tolerance; a wrong
instruction, a saturating accumulator or a damaged weight moves them by much more.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml_agent.infer import Engine

TOLERANCE: Final = 0.05
"""Of the golden outputs' spread (highest minus lowest): how far a sample's outputs may be off, root mean square."""


class SelfTest(msgspec.Struct, frozen=True):
    """How the self-test went.

    Args:
        right: Samples that were answered as on the host.
        samples: All golden samples.
        worst: The largest deviation found, as a share of the outputs' spread.
    """

    right: int
    samples: int
    worst: float

    @property
    def passed(self) -> bool:
        """Whether every sample was answered as on the host; one sample or more is needed to say so."""
        return self.right == self.samples > 0

    def __str__(self) -> str:
        """Say it with figures: "self-test 32 of 32, off by 0.4 % at most, 5 % allowed"."""
        off = f"off by {100 * self.worst:.1f}\u00a0% at most, {100 * TOLERANCE:.0f}\u00a0% allowed"
        return f"self-test {self.right} of {self.samples}, {off if np.isfinite(self.worst) else 'not comparable'}"


def judge(expected: npt.NDArray[np.float32], got: npt.NDArray[np.float32]) -> SelfTest:
    """Compare what a bundle answered here with what it answered on the host.

    A sample is right when its outputs are close, and its top class is the same unless the host's own margin between the
    first two classes is within the tolerance: there either is as good.

    Args:
        expected: The host's outputs, (samples, classes).
        got: The outputs here, of the same shape.
    """
    if expected.shape != got.shape or len(expected) == 0:
        return SelfTest(0, len(expected), float("inf"))
    spread = float(np.ptp(expected)) or 1.0
    off = np.sqrt(np.mean(np.square((got - expected) / spread, dtype=np.float64), axis=1))
    first_two = np.sort(expected, axis=1)[:, -2:]
    sure = (first_two[:, -1] - first_two[:, 0] > TOLERANCE * spread) & (expected.shape[1] > 1)
    same = got.argmax(1) == expected.argmax(1)
    right = np.isfinite(off) & (off <= TOLERANCE) & (same | ~sure)
    return SelfTest(int(right.sum()), len(expected), float(np.nan_to_num(off, nan=np.inf).max()))


def self_test(engine: Engine) -> SelfTest:
    """Run a loaded bundle on its golden samples and judge it."""
    golden = engine.bundle.golden()
    got = [engine.scores(one)[0] for one in golden.inputs]
    if {len(g) for g in got} != {len(engine.bundle.manifest.labels)}:
        return SelfTest(0, len(golden.inputs), float("inf"))
    return judge(golden.outputs, np.stack(got))
