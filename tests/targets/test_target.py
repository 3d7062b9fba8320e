"""Every hardware description is whole, and wrong ones are answered with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.runtimes import runtime_names
from edgeml_targets.target import DEFAULT_TARGET, Scheme, find_target, target_names

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


@pytest.mark.parametrize("name", target_names())
def test_a_scheme_names_operators_that_onnx_has(name: str) -> None:
    from onnx import defs

    scheme = find_target(name).scheme
    lists = (
        scheme.operators,
        scheme.float_results,
        scheme.dynamic_operators,
        scheme.same_scale,
        scheme.constant_operands,
    )
    named = {op for names in lists for op in names} | {op for f in scheme.fusions for op in (*f.after, f.activation)}

    assert named <= {schema.name for schema in defs.get_all_schemas() if schema.domain == ""}
    assert all(len(set(names)) == len(names) for names in lists)


def test_a_scheme_has_what_the_one_that_it_is_like_has() -> None:
    common, litert = Scheme(operators=("Conv",)), find_target("x86_64-litert").scheme
    runtime = find_target("x86_64-onnxruntime").scheme

    assert {f.activation for f in common.fusions} == {"Relu", "Clip"} and "MaxPool" in common.same_scale
    assert litert.activations_signed and litert.fusions == common.fusions and "GRU" in litert.dynamic_operators
    assert runtime.operators[-1] == "ReduceMean" and runtime.operators[:-1] == litert.operators
    assert Scheme(**runtime.model_dump()) == runtime


@pytest.mark.parametrize("name", target_names())
def test_what_was_measured_on_x86_alone_reaches_no_other_hardware(name: str) -> None:
    target = find_target(name)
    if target.architecture != "x86_64" or target.device != "cpu":
        scheme, common = target.scheme, Scheme(operators=("Conv",))
        assert (scheme.least_products, scheme.least_summands, scheme.float_results) == (0, 0, ())
        assert scheme.dynamic_operators == common.dynamic_operators


def test_the_main_jobs_targets_are_there() -> None:
    asked = "x86_64-onnxruntime x86_64-openvino x86_64-litert raspberrypi5-onnxruntime raspberrypi4-litert"

    assert {*asked.split(), "jetson-orin-tensorrt", "cuda-onnxruntime"} <= set(target_names())
    assert DEFAULT_TARGET in target_names()


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(EdgemlError, match="did you mean raspberrypi5-onnxruntime"):
        find_target("raspberypi5-onnxruntime")


def test_a_name_cut_short_is_answered_with_what_begins_so_and_the_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(EdgemlError, match=r"did you mean x86_64-onnxruntime\?"):
        find_target("x86_64-onnx")
    with pytest.raises(EdgemlError) as caught:
        find_target("mypc-onnxruntime", tmp_path)
    assert str(tmp_path) in caught.value.what and "hardware" in caught.value.what


def test_a_projects_own_description_stands_beside_ours(tmp_path: Path) -> None:
    (tmp_path / "bench-onnxruntime.toml").write_text(OWN)

    assert "bench-onnxruntime" in target_names(tmp_path)
    assert find_target("bench-onnxruntime", tmp_path).threads == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("threads = [", "TOML"),
        (OWN.replace("threads = 2", "threads = 0"), "threads"),
        (OWN + "colour = 1", "colour"),
        (OWN + 'like = "onxruntime"', "no scheme 'onxruntime' to be like, choose one of common, litert, onnx"),
        (OWN + 'more_operators = "Add"', "more_operators is no list"),
        (
            OWN.replace('["Conv"]', "5") + 'more_operators = ["Add"]',
            "scheme: Value error, operators is no list of ONNX",
        ),
        (OWN.replace('["Conv"]', '"Conv"') + 'more_operators = ["Add"]', "scheme: Value error, operators is no list"),
        (OWN.replace('"Conv"', '"conv 2d"'), "'conv 2d' is no ONNX operator's name"),
        (OWN + 'fusions = [{ after = [], activation = "Relu" }]', "fusions.0.after"),
        (OWN + 'fusions = [{ after = ["Conv"], activation = "Relu", limits = [0, 6] }]', "a Clip, and nothing else"),
        (OWN + 'fusions = [{ after = ["Conv"], activation = "Clip", limits = [6, 0] }]', "not below the highest"),
    ],
)
def test_a_wrong_description_is_named_with_the_reason(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bench-onnxruntime.toml").write_text(text)

    with pytest.raises(EdgemlError) as caught:
        find_target("bench-onnxruntime", tmp_path)

    assert caught.value.where.endswith("bench-onnxruntime.toml")
    assert said in caught.value.what or said == "TOML"
