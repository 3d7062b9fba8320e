"""The doctor: it lists everything with its way to get it, and says what a role lacks."""

from __future__ import annotations

import json
import subprocess
import sys

import msgspec
import pytest

from edgeml.doctor import Need, cpu_features, diagnose, required_packages, too_old
from edgeml_bench import machine
from edgeml_bench.sensors import sensor_names
from edgeml_targets.runtimes import runtime_names
from edgeml_targets.target import target_names

REQUIREMENTS = [
    "numpy>=1.26",
    "rich>=13.9; extra == 'server'",
    'rich>=13.9; extra == "toolkit"',
    "edgeml[images]; extra == 'toolkit'",
    "onnxruntime>=1.20; extra == 'onnxruntime'",
    "torch>=2.9; extra == 'all'",
    "mlxtend ; extra == 'demo'",
]


def test_the_diagnosis_lists_every_runtime_sensor_and_target() -> None:
    found = diagnose()
    assert {n.name for n in found.needs if n.kind == "runtime"} == set(runtime_names())
    assert [s.name for s in found.sensors] == sensor_names()
    assert [t.target for t in found.targets] == target_names()


def test_what_is_missing_says_what_for_and_how_to_get_it() -> None:
    found = diagnose()
    for need in found.needs:
        assert need.purpose and need.role and need.get, need.name
    assert all(s.get for s in found.sensors if s.value is None)
    assert all(t.reason and t.get for t in found.targets if not t.measurable)


def test_the_document_names_what_is_missing() -> None:
    found = diagnose()
    lacking = Need(kind="package", name="gone", version=None, role="r", purpose="p", get="g", required=True)
    broken = msgspec.structs.replace(lacking, name="old", version="0.1", problem="too old")
    optional = msgspec.structs.replace(lacking, name="spare", required=False)
    document = json.loads(msgspec.structs.replace(found, needs=(lacking, broken, optional)).to_json())
    assert document["schema"] == "edgeml.doctor/1" and document["missing"] == ["gone", "old"]
    assert {"cpu", "cores", "features"} <= set(document["machine"])


def test_requirements_come_from_our_own_metadata_each_once_with_its_first_role() -> None:
    assert required_packages(REQUIREMENTS, frozenset({"onnxruntime"})) == {
        "numpy": ("1.26", ""),
        "rich": ("13.9", "toolkit"),
        "mlxtend": ("", "demo"),
    }


@pytest.mark.parametrize(
    ("version", "least", "old"),
    [
        ("1.9", "1.10", True),
        ("2.13.0+cpu", "2.9", False),
        ("2025.0", "2025.0", False),
        ("1.0", "", False),
        ("3", "2.9", False),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, least: str, old: bool) -> None:
    assert too_old(version, least) is old


def test_an_arm_machine_is_asked_for_arms_features() -> None:
    pi = msgspec.structs.replace(machine(), architecture="aarch64", features=("asimd", "asimddp"))
    shown = {f.name: f.here for f in cpu_features(pi)}
    assert shown["asimddp"] and not shown["i8mm"] and not shown["sve"] and "avx2" not in shown


def test_the_command_prints_tables_or_one_document() -> None:
    said = subprocess.run([sys.executable, "-m", "edgeml", "doctor"], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert all(word in said.stdout for word in ("CPU feature", "onnxruntime", "x86_64-litert", "nats-server"))
