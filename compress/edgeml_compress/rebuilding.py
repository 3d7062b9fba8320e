"""Make a candidate again from its recipe: the same model, samples and recipe give the same file, bit for bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeml_compress.exporting import write
from edgeml_compress.recipe import Recipe, apply
from edgeml_compress.source import CALIBRATION_FILE, CalibrationData, calibrated, read_source
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.target import Target


def rebuild(
    model: Path, data: CalibrationData, recipe: Recipe, target: Target, path: Path, *, progress: Progress = SILENT
) -> str:
    """Write what a recipe makes of a model for a target at `path`, and return a note of what had to be fixed for it, often empty.

    Nothing is searched or measured.

    Args:
        model: The float ONNX file that the recipe was made for.
        data: The samples as `compress` was given them: ranges and passes rest on them.
        recipe: A candidate's: `Recipe.from_toml(candidate.recipe, where=...)`.
        target: Whose scheme and format.
        path: The artifact. The calibration that `compress` left above its folder is used where it is of the same model
            and samples.
        progress: Told step by step.

    Raises:
        EdgemlError: The model cannot be read, a pass cannot do its work on it, the target's format lacks an operator, or
            the file cannot be written.

    Example:
        >>> recipe = Recipe.from_toml(Path("int8-mixed.toml").read_text(), where="int8-mixed.toml")
        >>> rebuild(Path("kws.onnx"), data, recipe, find_target("x86_64-onnxruntime"), Path("again.onnx"))
    """
    progress.begin("Read")
    source = read_source(model, data.validation)
    progress.end(f"{model}, {source.parameters:,} parameters")
    progress.begin("Calibrated")
    source = calibrated(source, data.ranges, path.parent.parent / CALIBRATION_FILE, progress)
    source = dataclasses.replace(source, others=(data.validation, data.evaluation))
    progress.end(f"{source.calibration.samples:,} samples")
    progress.begin("Made")
    draft = apply(recipe, source.draft(target.scheme))
    path.parent.mkdir(parents=True, exist_ok=True)
    fixed = write(draft.model, draft.encodings, target, path, source.splits)
    progress.end(f"{path}, {path.stat().st_size:,} bytes")
    return fixed.note
