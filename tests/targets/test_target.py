"""Every hardware description is whole, and wrong ones are answered with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.runtimes import runtime_names
from edgeml_targets.target import DEFAULT_TARGET, find_target, target_names

OWN = """
title = "Bench"
runtime = "onnxruntime"
architecture = "x86_64"
memory_bytes = 1
threads = 2
[scheme]
operators = ["Conv"]
"""


@pytest.mark.parametrize("name", target_names())
def test_every_description_is_whole(name: str) -> None:
    target = find_target(name)

    assert target.runtime in runtime_names()
    assert name.endswith(f"-{target.runtime}")
    assert target.suffix in (".onnx", ".tflite")
    assert target.settings(threads=3).threads == 3


@pytest.mark.parametrize("name", target_names())
def test_every_x86_target_gives_the_same_answers_on_every_x86_cpu(name: str) -> None:
    """Two unsigned activations times 8-bit weights overflow the 16 bits that a CPU without VNNI adds pairs in."""
    target = find_target(name)
    adds_pairs_in_16_bits = target.architecture == "x86_64" and target.runtime in ("onnxruntime", "openvino")

    if adds_pairs_in_16_bits and target.device == "cpu" and not target.cpu_features:
        assert target.scheme.weight_bits == 7 or (target.scheme.pair_sum or 255) <= 126


def test_the_main_jobs_targets_are_there() -> None:
    asked = "x86_64-onnxruntime x86_64-openvino x86_64-litert raspberrypi5-onnxruntime raspberrypi4-litert"

    assert {*asked.split(), "jetson-orin-tensorrt", "cuda-onnxruntime"} <= set(target_names())
    assert DEFAULT_TARGET in target_names()


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(EdgemlError, match="did you mean raspberrypi5-onnxruntime"):
        find_target("raspberypi5-onnxruntime")


def test_a_projects_own_description_stands_beside_ours(tmp_path: Path) -> None:
    (tmp_path / "bench-onnxruntime.toml").write_text(OWN)

    assert "bench-onnxruntime" in target_names(tmp_path)
    assert find_target("bench-onnxruntime", tmp_path).threads == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [("threads = [", "TOML"), (OWN.replace("threads = 2", "threads = 0"), "threads"), (OWN + "colour = 1", "colour")],
)
def test_a_wrong_description_is_named_with_the_reason(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bench-onnxruntime.toml").write_text(text)

    with pytest.raises(EdgemlError) as caught:
        find_target("bench-onnxruntime", tmp_path)

    assert caught.value.where.endswith("bench-onnxruntime.toml")
    assert said in caught.value.what or said == "TOML"
