"""`edgeml bench` from outside: what is no subcommand is benched, one document on standard output, one line on an error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeml.cli.bench import DEFAULT_TARGET, _size, _time
from edgeml_targets.target import DEFAULT_TARGET as TARGET


def edgeml(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeml", *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_a_model_is_benched_with_one_input_of_the_users(tiny_cnn: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros((3, 16, 16), np.float32))
    done = edgeml("bench", tiny_cnn, "--threads", 1, "--input", "one.npy", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["schema"], document["target"], document["threads"]) == ("edgeml.bench/1", DEFAULT_TARGET, 1)


def test_the_table_gives_each_figure_its_unit(tiny_cnn: Path, tmp_path: Path) -> None:
    done = edgeml("bench", tiny_cnn, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"an inference on {DEFAULT_TARGET}." in done.stdout
    for figure in ("p50", "p90", "p99", "throughput", "load time", "memory", "size"):
        assert figure in done.stdout


@pytest.mark.parametrize(
    ("args", "culprit"),
    [
        (("missing.onnx",), "missing.onnx"),
        (("text.onnx",), "text.onnx"),
        (("half.onnx",), "half.onnx"),
        (("compare", "good.onnx", "half.onnx"), "half.onnx"),
        (("compare", "missing.onnx", "good.onnx"), "missing.onnx"),
        (("good.onnx", "--target", "no-such-target"), "no-such-target"),
        (("good.onnx", "--target", "jetson-orin-tensorrt"), "jetson-orin-tensorrt"),
        (("good.onnx", "--input", "text.onnx"), "text.onnx"),
        (("good.onnx", "--input", "wrong.npy"), "good.onnx"),
    ],
)
def test_bad_input_is_one_line_that_names_the_culprit(
    args: tuple[str, ...], culprit: str, tiny_cnn: Path, tmp_path: Path
) -> None:
    whole = tiny_cnn.read_bytes()
    (tmp_path / "good.onnx").write_bytes(whole)
    (tmp_path / "half.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.onnx").write_text("not a model")
    np.save(tmp_path / "wrong.npy", np.zeros((5, 7), np.float32))
    before = sorted(tmp_path.iterdir())
    done = edgeml("bench", *args, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    talk = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.stderr.splitlines() == talk and len(talk) == 1
    assert culprit in talk[0]
    assert sorted(tmp_path.iterdir()) == before


def test_help_shows_the_options_of_a_model_and_the_subcommand(tmp_path: Path) -> None:
    said = edgeml("bench", "--help", cwd=tmp_path).stdout
    assert all(word in said for word in ("MODEL", "compare", "--target", "--threads", "--input", "Example:"))
    assert "Example:" in edgeml("bench", "compare", "--help", cwd=tmp_path).stdout


def test_a_wrong_option_shows_the_usage_as_people_type_it(tmp_path: Path) -> None:
    done = edgeml("bench", "kws.onnx", "--no-such-option", cwd=tmp_path)
    usage, error = done.stderr.splitlines()
    assert done.returncode == 2 and usage.endswith("edgeml bench MODEL [OPTIONS]")
    assert error.startswith("error: No such option: --no-such-option")


def test_the_default_target_is_the_targets_room_s() -> None:
    assert DEFAULT_TARGET == TARGET


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (5.678, "5.68 us"),
        (65.33, "65.3 us"),
        (999.4, "999 us"),
        (999.6, "1.00 ms"),
        (1354, "1.35 ms"),
        (2.1e6, "2.10 s"),
    ],
)
def test_times_have_three_digits(us: float, text: str) -> None:
    assert _time(us) == text


@pytest.mark.parametrize(("count", "text"), [(None, "—"), (4180, "4 kB"), (564_233, "564 kB"), (71_600_000, "71.6 MB")])
def test_sizes_are_in_thousands(count: int | None, text: str) -> None:
    assert _size(count) == text
