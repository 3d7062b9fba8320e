"""A challenger is slower than the champion only when two processes say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeml.gates.fits_budget import MOST_SLOWER
from edgeml.stages import beside_champion
from edgeml_bench import Timing
from edgeml_targets.contract.settings import Settings

SETTINGS = Settings(target="t", runtime="onnxruntime")
EVEN, SLOW, SLOWER = 1.0, 1.04, 1.06


def timing(ratio: float) -> Timing:
    return Timing(
        p50_us=60 * ratio,
        p90_us=70 * ratio,
        p99_us=90 * ratio,
        ratio=ratio,
        ratio_low=ratio - 0.005,
        ratio_high=ratio + 0.005,
        load_ms=5.0,
        loads=10,
        inferences=1000,
    )


@pytest.mark.parametrize(
    ("raced", "ratio", "races"), [((EVEN,), EVEN, 1), ((SLOW, EVEN), EVEN, 2), ((SLOWER, SLOW), SLOW, 2)]
)
def test_what_looks_slower_is_raced_once_more(
    raced: tuple[float, ...], ratio: float, races: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [timing(r) for r in raced]
    monkeypatch.setattr("edgeml_bench.race", lambda *_, **__: [timing(1.0), left.pop(0)])
    found = beside_champion(Path("old.onnx"), Path("new.onnx"), SETTINGS)
    assert found.ratio == ratio and len(raced) - len(left) == races
    assert (found.ratio_low > MOST_SLOWER) == (min(raced) > MOST_SLOWER)
