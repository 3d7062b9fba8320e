"""What passes that ease asked of the samples is kept with the calibration: in a later run they ask nothing and make the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgeml_compress import passes
from edgeml_compress.calibration import Calibration, Eased
from edgeml_compress.passes import Draft

RNG = np.random.default_rng(5)
LOUD = np.where(np.arange(32) % 8 == 0, 60.0, 1.0).astype(np.float32)
WEIGHTS = {
    "scale": LOUD,
    "shift": RNG.standard_normal(32).astype(np.float32),
    "w": RNG.standard_normal((32, 16)).astype(np.float32),
    "v": RNG.standard_normal((16, 8)).astype(np.float32),
}
TEXT = """t (float[b, 5, 32] x) => (float[b, 5, 8] y)
    { n = LayerNormalization(x, scale, shift) q = MatMul(n, w) r = Relu(q) y = MatMul(r, v) }"""
STEPS = ("smooth_activations", ("equalize_layers", {"by": "activations"}))
SAMPLES = {"x": RNG.standard_normal((24, 5, 32)).astype(np.float32)}
Later = Callable[..., Draft]


@pytest.fixture
def eased(graph: Any, drafted: Any, passed: Any) -> Draft:
    found: Draft = passed(drafted(graph(TEXT, WEIGHTS), SAMPLES), *STEPS)
    return found


@pytest.fixture
def later(graph: Any, drafted: Any) -> Later:
    """Return a function that makes a draft as a later run does, with what an earlier one saved."""

    def make(saved: tuple[Eased, ...]) -> Draft:
        draft: Draft = drafted(graph(TEXT, WEIGHTS), SAMPLES)
        return replace(draft, calibration=msgspec.structs.replace(draft.calibration, eased=saved))

    return make


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which every question about the samples is added from now on."""
    found: list[str] = []
    for name in ("calibrate", "largest_by_channel"):
        call = getattr(passes, name)
        monkeypatch.setattr(passes, name, lambda *given, name=name, call=call: (found.append(name), call(*given))[1])
    return found


def test_a_later_run_asks_nothing_and_makes_the_same(
    eased: Draft, later: Later, asked: list[str], passed: Any, same_weights: Any, tmp_path: Path
) -> None:
    eased.calibration.save(tmp_path / "saved")
    again = passed(later(Calibration.load(tmp_path / "saved").eased), *STEPS)
    assert asked == []
    assert again.calibration == eased.calibration and same_weights(again, eased)
    assert [e.step.split()[0] for e in again.calibration.eased] == ["smooth_activations", "equalize_layers"]


def test_other_parameters_ask_anew_and_so_do_all_behind_them(
    eased: Draft, later: Later, asked: list[str], passed: Any, same_weights: Any
) -> None:
    steps = (("smooth_activations", {"alpha": 0.3}), STEPS[1])
    other = passed(later(eased.calibration.eased), *steps)
    assert asked == ["largest_by_channel", "calibrate"] * 2
    assert same_weights(other, passed(later(()), *steps)) and not same_weights(other, eased)


@pytest.mark.parametrize("before", [(), (("smooth_activations", {"alpha": 0.3}),)], ids=["alone", "behind another"])
def test_of_another_network_it_is_asked_anew(
    before: Any, eased: Draft, later: Later, asked: list[str], passed: Any, same_weights: Any
) -> None:
    draft = passed(later(eased.calibration.eased), *before)
    asked.clear()
    found = passed(draft, STEPS[1])
    assert asked == ["largest_by_channel", "calibrate"]
    assert same_weights(found, passed(later(()), *before, STEPS[1]))


@pytest.mark.parametrize("spoilt", [{"tensors": {}}, {"largest": {}}, {"largest": {"n": (1.0,), "q": (1.0,)}}])
def test_what_does_not_fit_the_network_is_asked_anew(
    spoilt: dict[str, Any], eased: Draft, later: Later, asked: list[str], passed: Any
) -> None:
    broken = tuple(msgspec.structs.replace(e, **spoilt) for e in eased.calibration.eased)
    again = passed(later(broken), *STEPS)
    assert asked and again.calibration.tensors == eased.calibration.tensors
