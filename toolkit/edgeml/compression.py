"""Compress: of a bare ONNX file with samples beside it, or of a project's latest model with its own splits."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from edgeml.calibration_data import Data, hold_back, in_words, read_data
from edgeml.data import Dataset, open_dataset
from edgeml.model import Model, latest_model
from edgeml.project import Budget, Project
from edgeml.report.compression import write as write_report
from edgeml.report.compression_words import accuracy_kept, times_faster
from edgeml_compress import CalibrationData, Compression, Limits, Recipe, TargetResult, compress, rebuild
from edgeml_compress.judging.layer_costs import with_layer_costs
from edgeml_compress.results import RESULT
from edgeml_compress.source import ALIKE_MEND, all_alike
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import sha256_of, write_atomic
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.models import digest_of, model_tensors, read_model
from edgeml_targets.target import DEFAULT_TARGET, Target, find_target

REPORT: Final = "report.html"


@dataclass(frozen=True)
class Options:
    """What can be asked of `compress_file` beside the model and its samples.

    Args:
        labels: An NPY of integers, a class a sample.
        preprocess: TOML that says how images become inputs.
        max_drop: Points of accuracy (a point is 0.01) that an artifact may lose.
        budget: What every target may spend.
        command: The command line, for the report.
        own: A folder of target descriptions beside ours, a project's `targets/`.
        recipe: TOML of the candidate that `rebuild_file` makes again; `compress_file` searches and heeds none.
        sensitivity: Measure what each layer costs alone in integers, for every target, whether the search asked or not.
    """

    labels: Path | None = None
    preprocess: Path | None = None
    max_drop: float = 1.0
    budget: Budget = field(default_factory=Budget)
    command: str = ""
    sensitivity: bool = False
    recipe: Path | None = None
    own: Path | None = None


def compress_file(
    model: Path,
    calibration: Path,
    targets: Sequence[str],
    out: Path,
    *,
    options: Options = Options(),
    progress: Progress = SILENT,
) -> Compression:
    """Compress an ONNX file; write artifacts, `compression.json` and `report.html` into `out`.

    Args:
        model: A float ONNX file.
        calibration: Samples: an NPY, an NPZ or a folder of images, see `calibration_data.read_data`.
        targets: Names of targets; none is this machine with ONNX Runtime.
        out: A folder, made when it is missing.
        options: See there.
        progress: Told step by step.

    Raises:
        EdgemlError: A name, the model or the samples are wrong, see `edgeml_compress.compress`. Nothing is written then.

    Example:
        >>> compress_file(Path("kws.onnx"), Path("samples.npy"), ["x86_64-litert"], Path("out")).targets[0].chosen
        'int8'
    """
    found = _found(targets, options)
    _check_out(out)
    inputs, _ = model_tensors(read_model(model))
    if not inputs:
        raise EdgemlError("the model takes no inputs", where=str(model), mend="give a model with one or more")
    data = read_data(calibration, inputs, labels=options.labels, preprocess=options.preprocess)
    limits = Limits(options.max_drop, {target.name: options.budget for target in found})
    parts = _shared_out(data, calibration)
    done = compress(model, parts, found, limits=limits, out=out, progress=progress)
    if options.sensitivity:
        weighed = with_layer_costs(done.targets, model, parts, found, out=out, progress=progress)
        done = msgspec.structs.replace(done, targets=weighed)
    done = msgspec.structs.replace(done, command=options.command, preprocessing=in_words(data.preprocessing))
    return _recorded(done, out)


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that was made again from its recipe.

    Args:
        target: Whom for.
        recipe: The recipe's name.
        artifact: The file, relative to the current folder.
        size_bytes, sha256: The file's.
        note: What had to be fixed for the target's format, often empty.
    """

    target: str
    recipe: str
    artifact: str
    size_bytes: int
    sha256: str
    note: str = ""


class Rebuilding(msgspec.Struct, frozen=True, kw_only=True):
    """What `edgeml compress --recipe` made; as JSON it is `edgeml.rebuild/1`."""

    schema: str = "edgeml.rebuild/1"
    model: str
    artifacts: tuple[Rebuilt, ...]


def rebuild_file(
    model: Path,
    calibration: Path,
    targets: Sequence[str],
    out: Path,
    *,
    options: Options,
    progress: Progress = SILENT,
) -> Rebuilding:
    """Make a candidate again from its recipe and the samples it was made with: the same file, bit for bit.

    Args:
        model, calibration, targets, out: As `compress_file` was given them.
        options: `recipe` as it stands in the result and the report; `labels` and `preprocess` decide how the samples are shared
            out; the rest is not asked for.
        progress: Told step by step.

    Raises:
        EdgemlError: The recipe is none, or of another model; see `compress_file`.
    """
    wanted = _read_recipe(options.recipe)
    wanted_by = _found(targets, options)
    _check_out(out)
    inputs, _ = model_tensors(read_model(model))
    given = read_data(calibration, inputs, labels=options.labels, preprocess=options.preprocess)
    data = _shared_out(given, calibration)
    found = []
    for target in wanted_by:
        path = out / target.name / f"{model.stem}.{wanted.name}{target.suffix}"
        note = rebuild(model, data, wanted, target, path, progress=progress)
        found.append(
            Rebuilt(
                target=target.name,
                recipe=wanted.name,
                artifact=os.path.relpath(path),
                size_bytes=path.stat().st_size,
                sha256=sha256_of(path),
                note=note,
            )
        )
    return Rebuilding(model=os.path.relpath(model), artifacts=tuple(found))


def _found(names: Sequence[str], options: Options) -> list[Target]:
    return [find_target(name, options.own) for name in dict.fromkeys(names or [DEFAULT_TARGET])]


def _check_out(out: Path) -> None:
    """Refuse before anything is measured where nothing could be written."""
    there = next((path for path in (out, *out.parents) if path.exists()), None)
    if there is not None and not there.is_dir():
        raise EdgemlError(f"{there} is a file, not a folder", where=str(out), mend="give another folder with --out")


def _read_recipe(recipe: Path | None) -> Recipe:
    if recipe is None:
        raise ValueError("no recipe is given")
    try:
        return Recipe.from_toml(recipe.read_text(), where=str(recipe))
    except OSError as error:
        raise EdgemlError(
            f"cannot be read: {error.strerror}", where=str(recipe), mend="give a recipe's file"
        ) from error


def compress_project(
    project: Project,
    *,
    model: Model | None = None,
    dataset: Dataset | None = None,
    progress: Progress = SILENT,
    command: str = "edgeml compress",
    sensitivity: bool = False,
) -> Compression:
    """Compress a project's model for its targets, judged on the test split of the data that it was trained on.

    Artifacts, the result and the report are written into `.edgeml/compressed/<model id>/`.

    Args:
        project: Names targets, budgets and the accuracy that may be lost.
        model: Default: the latest.
        dataset: Whose splits are used; default: the version that the model was trained on.
        progress: Told step by step.
        command: The command line, for the report.
        sensitivity: As in `Options`.

    Raises:
        EdgemlError: There is no model yet, or see `edgeml_compress.compress`.
    """
    model = model or latest_model(project)
    dataset = dataset or open_dataset(project, model.manifest.dataset)
    targets = [project.target(name) for name in project.targets]
    out = compressed_folder(project, model)
    limits = Limits(project.compression.max_drop, project.budgets)
    parts = _splits(dataset, model)
    done = compress(model.onnx, parts, targets, limits=limits, out=out, progress=progress)
    if sensitivity:
        weighed = with_layer_costs(done.targets, model.onnx, parts, targets, out=out, progress=progress)
        done = msgspec.structs.replace(done, targets=weighed)
    return _recorded(msgspec.structs.replace(done, command=command), out)


def compressed_folder(project: Project, model: Model) -> Path:
    """Return the folder of a model's artifacts."""
    return project.workspace / "compressed" / model.id


def load_compression(folder: Path) -> Compression:
    """Return the result that lies in a folder, its paths relative to the current folder.

    Raises:
        EdgemlError: There is none, or it was damaged.
    """
    file = folder / RESULT
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Compression)
    except (OSError, msgspec.MsgspecError) as error:
        raise EdgemlError("no compression here", where=str(folder), mend="make one with edgeml compress") from error
    return _moved(found, lambda path: os.path.relpath(folder / path))


def kept_compression(project: Project, model: Model) -> Compression | None:
    """Return what was made of a model before, where the project would ask for the same today and every file is what it was.

    `None`: there is nothing; or targets, their threads, budgets or `max_drop` are others now; or an artifact was changed.
    Then it is made again.
    """
    folder = compressed_folder(project, model)
    if not (folder / RESULT).exists():
        return None
    kept = load_compression(folder)
    asked = [_asked(project, name) for name in project.targets]
    said = [(t.target, t.runtime, t.threads, t.size_budget_bytes, t.latency_budget_ms) for t in kept.targets]
    same = said == asked and kept.max_drop == project.compression.max_drop
    files = {c.artifact: c.sha256 for t in kept.targets for c in t.candidates}
    whole = all(Path(file).is_file() and sha256_of(Path(file)) == sha256 for file, sha256 in files.items())
    model_is_same = Path(kept.model).is_file() and digest_of(Path(kept.model)) == kept.model_sha256
    return kept if same and whole and model_is_same else None


def _asked(project: Project, name: str) -> tuple[str, str, int, int | None, float | None]:
    target, budget = project.target(name), project.budgets.get(name, Budget())
    return name, target.runtime, target.threads, budget.size_bytes, budget.latency_ms


def unmet_budgets(compression: Compression) -> list[str]:
    """Return a sentence for each target whose budget no candidate meets."""
    return [
        f"{t.target}: no candidate meets the budget, the nearest: {t.unmet}" for t in compression.targets if t.unmet
    ]


def summary(compression: Compression) -> str:
    """Return the result in one sentence, from the same figures as the JSON."""
    targets = compression.targets
    named: dict[str, list[str]] = {}
    for target in targets:
        named.setdefault(target.chosen, []).append(target.target)
    whole = len(named) == 1 and len(targets) > 1
    what = ", ".join(f"{n} on {'every target' if whole else _listed(where)}" for n, where in named.items())
    return f"{what}: {', '.join([_judged(compression), *_gains(targets)])}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} targets"


def _judged(compression: Compression) -> str:
    over = sum(t.unmet is not None for t in compression.targets)
    if over:
        return f"{over} of {len(compression.targets)} over budget"
    if compression.labelled:
        return accuracy_kept(compression)
    return f"worst cosine {_span([t.cosine_min for t in compression.targets], '{:.4f}') or 'not judged'}"


def _gains(targets: Sequence[TargetResult]) -> list[str]:
    changed = [t for t in targets if t.artifact != t.float_artifact]
    smaller = _span([t.float_size_bytes / t.size_bytes for t in changed], "{:.1f}")
    times = _span([times_faster(t) for t in changed], "{:.1f}")
    pace = "as fast as float" if times == "1.0" else f"{times} times faster"
    return [*([pace] if times else []), *([f"{smaller} times smaller"] if smaller else [])]


def _span(values: Sequence[float | None], form: str) -> str:
    known = sorted(v for v in values if v is not None)
    if not known:
        return ""
    low, high = form.format(known[0]), form.format(known[-1])
    return low if low == high else f"{low} to {high}"


def _shared_out(data: Data, where: Path) -> CalibrationData:
    if all_alike(data.samples):
        raise EdgemlError("all samples are the same", where=str(where), mend=ALIKE_MEND)
    shares = hold_back(len(next(iter(data.samples.values()))), data.labels)
    return CalibrationData(
        ranges=data.part(shares.ranges),
        validation=data.part(shares.validation),
        evaluation=data.part(shares.evaluation),
        validation_labels=data.labels_of(shares.validation),
        evaluation_labels=data.labels_of(shares.evaluation),
    )


def _splits(dataset: Dataset, model: Model) -> CalibrationData:
    name = model.manifest.input.name
    ranges, _ = dataset.ready("calibration")
    validation, validation_labels = dataset.ready("validation")
    evaluation, evaluation_labels = dataset.ready("test")
    return CalibrationData(
        ranges={name: ranges},
        validation={name: validation},
        evaluation={name: evaluation},
        validation_labels=validation_labels,
        evaluation_labels=evaluation_labels,
    )


def _recorded(done: Compression, out: Path) -> Compression:
    """Write the report, then the result, whose paths are relative to `out` there; return it with the report's path."""
    report = out / REPORT
    done = msgspec.structs.replace(done, report=os.path.relpath(report))
    write_report(done, report)
    kept = _moved(done, lambda path: os.path.relpath(path, out))
    write_atomic(out / RESULT, msgspec.json.format(msgspec.json.encode(kept), indent=1))
    return done


def _moved(compression: Compression, path: Callable[[str], str]) -> Compression:
    """Return the result with every path changed."""
    targets = tuple(
        msgspec.structs.replace(
            t,
            artifact=path(t.artifact),
            float_artifact=path(t.float_artifact),
            candidates=tuple(msgspec.structs.replace(c, artifact=path(c.artifact)) for c in t.candidates),
        )
        for t in compression.targets
    )
    report = None if compression.report is None else path(compression.report)
    return msgspec.structs.replace(compression, model=path(compression.model), report=report, targets=targets)
