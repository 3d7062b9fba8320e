"""What each layer costs is measured for those who ask, once a scheme."""

from __future__ import annotations

from pathlib import Path

from edgeml_compress import CalibrationData, Limits, compress
from edgeml_compress.judging.layer_costs import with_layer_costs
from edgeml_targets.target import find_target

TARGETS = ("raspberrypi5-onnxruntime", "raspberrypi4-litert")
NODES = ["conv1", "conv2", "fc"]
SMALL_ENDS = {"least_products": 16_384}  # the first target's float kernel shall be faster for a small last product
INTEGER = dict(zip(TARGETS, (NODES[:2], NODES), strict=True))


def test_targets_get_the_costs_of_their_scheme(tiny_cnn: Path, images, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    x = images(96)
    data = CalibrationData({"x": x[:48]}, {"x": x[48:64]}, {"x": x[64:]})
    targets = [find_target(name) for name in TARGETS]
    targets[0] = targets[0].model_copy(update={"scheme": targets[0].scheme.model_copy(update=SMALL_ENDS)})
    done = compress(tiny_cnn, data, targets, limits=Limits(), out=tmp_path / "out")
    found = with_layer_costs(done.targets, tiny_cnn, data, targets, out=tmp_path / "out")
    assert [t.target for t in found] == list(TARGETS)
    for target in found:
        assert sorted(layer.node for layer in target.sensitivity) == INTEGER[target.target]


def test_the_chosen_candidate_says_the_form_of_each_layer(tiny_cnn: Path, images, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    x = images(96)
    data = CalibrationData({"x": x[:48]}, {"x": x[48:64]}, {"x": x[64:]})
    done = compress(tiny_cnn, data, [find_target(TARGETS[0])], limits=Limits(), out=tmp_path / "out")
    target = done.targets[0]
    assert target.chosen != "float32"  # where latency is not measured, the smallest that is close enough
    assert [layer.node for layer in target.layers] == NODES
    assert target.layers[1].form != "float32"  # the largest
