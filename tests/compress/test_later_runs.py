"""What a run leaves in its folder is what a later one begins with: the calibration, the way to round, what passes asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import onnx_ir as ir
import pytest

from edgeml_compress import CalibrationData, Compression, Limits, compress, passes
from edgeml_compress import source as source_module
from edgeml_compress.calibration import Calibration
from edgeml_compress.candidates import Rounding
from edgeml_compress.ladder import roundings
from edgeml_compress.ladder.setting import Ladders
from edgeml_compress.source import calibrated, read_source
from edgeml_targets.target import find_target

HERE = "x86_64-onnxruntime"


@pytest.fixture(scope="module")
def samples(images) -> CalibrationData:  # type: ignore[no-untyped-def]
    x = images(96)
    return CalibrationData({"x": x[:48]}, {"x": x[48:64]}, {"x": x[64:]})


def test_a_later_run_for_another_target_begins_with_what_was_best(graph, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(roundings, "DEAR_PARAMETERS", 0)
    rng, path = np.random.default_rng(5), tmp_path / "spread.onnx"
    spread = rng.standard_normal((8, 3, 3, 3)) * 10 ** rng.uniform(-1, 1, (8, 1, 1, 1))
    weights = {"w": spread.astype("f4"), "f": rng.standard_normal((8, 4)).astype("f4")}
    body = "a = Conv(x, w) r = Relu(a) p = GlobalAveragePool(r) q = Flatten(p) y = Gemm(q, f)"
    ir.save(graph(f"t (float[b, 3, 12, 12] x) => (float[b, 4] y) {{ {body} }}", weights), path)
    x = rng.uniform(0, 1, (96, 3, 12, 12)).astype("f4")
    data = CalibrationData({"x": x[:48]}, {"x": x[48:64]}, {"x": x[64:]})

    def compressed(target: str) -> Compression:
        return compress(path, data, [find_target(target)], limits=Limits(), out=tmp_path / "out")

    first, saved = compressed(HERE), tmp_path / "out" / "calibration.msgpack"
    rounding = Calibration.load(saved).rounding
    assert rounding == next(c.recipe for c in first.targets[0].candidates if c.name == "int8")
    means = Calibration.load(saved).means
    assert means is not None and means.channels.keys() == {"a", "y"}  # those, too, that this scheme leaves in float
    later = compressed("x86_64-openvino")
    assert any("for another target or in a run before" in step.why for step in later.steps)
    assert Calibration.load(saved).rounding == rounding


def test_a_later_run_asks_nothing_more_of_the_samples_where_the_network_was_eased(
    graph, tmp_path: Path, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(roundings, "DEAR_PARAMETERS", 0)
    rng, path, loud = np.random.default_rng(4), tmp_path / "loud.onnx", np.where(np.arange(32) % 8 == 0, 60.0, 1.0)
    products = {n: (rng.standard_normal((32, 16)) / np.sqrt(loud)[:, None]).astype("f4") for n in ("v", "w")}
    rows = {"scale": loud.astype("f4"), "shift": rng.standard_normal(32).astype("f4")}
    body = "n = LayerNormalization(x, scale, shift) q = MatMul(n, v) k = MatMul(n, w) y = Mul(q, k)"
    ir.save(graph(f"t (float[b, 5, 32] x) => (float[b, 5, 16] y) {{ {body} }}", {**products, **rows}), path)
    x = rng.standard_normal((96, 5, 32)).astype("f4")
    data, out = CalibrationData({"x": x[:48]}, {"x": x[48:64]}, {"x": x[64:]}), tmp_path / "out"
    compress(path, data, [find_target(HERE)], limits=Limits(), out=out)
    saved = Calibration.load(out / "calibration.msgpack")
    assert "smooth_activations" in saved.rounding and [e.step.split()[0] for e in saved.eased] == ["smooth_activations"]
    for module, name in ((source_module, "calibrate"), (passes, "calibrate"), (passes, "largest_by_channel")):
        monkeypatch.setattr(module, name, None)
    compress(path, data, [find_target("x86_64-openvino")], limits=Limits(), out=out)
    assert Calibration.load(out / "calibration.msgpack") == saved


OTHERS = {
    "pass": "name = 'of a later version'\n[[passes]]\nname = 'unheard_of'",
    "observer": Rounding("minmax").recipe().to_toml().replace("minmax", "unheard_of"),
    "deep": "a=" + "[" * 20_000,
    "long": "bits=" + "9" * 5_000,
    "broken": "no TOML",
}


@pytest.mark.parametrize("spoilt", OTHERS.values(), ids=OTHERS)
def test_a_way_to_round_that_cannot_be_read_is_chosen_anew(
    spoilt: str, tiny_cnn: Path, samples, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    source = calibrated(read_source(tiny_cnn, samples.validation), samples.ranges, tmp_path / "none")
    broken = msgspec.structs.replace(source.calibration, rounding=spoilt)
    ladders = Ladders(dataclasses.replace(source, calibration=broken), samples, 1.0)
    assert len(ladders.of(find_target(HERE)).tried) > 2
