"""`edgeml compress`: make a model small and fast for each target, within an accuracy budget, and prove it."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from edgeml.cli.options import TARGETS_HELP, AsJson, Grouped, ProjectFolder

if TYPE_CHECKING:
    from edgeml.compression import Rebuilding
    from edgeml_compress import Compression, TargetResult

app = typer.Typer()

GIVEN: Final = "What it learns from"
SPENT: Final = "What may be spent"
DONE: Final = "What is made"

MOST_NAME: Final = 48  # characters of a layer's name in a table; the report has it whole


ModelFile = Annotated[
    Path | None, typer.Argument(help="A float ONNX file; without one, the project's latest model.", show_default=False)
]
Calibration = Annotated[
    Path | None,
    typer.Option(
        "--calibration", rich_help_panel=GIVEN, help="Samples: an NPY, an NPZ, or a folder of images, a class a folder."
    ),
]
Labels = Annotated[
    Path | None, typer.Option("--labels", rich_help_panel=GIVEN, help="An NPY of integers, a class a sample.")
]
Preprocess = Annotated[
    Path | None,
    typer.Option("--preprocess", rich_help_panel=GIVEN, help="TOML: size, scale, mean, std, colour, layout of images."),
]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="<name>", rich_help_panel=DONE, help=f"{TARGETS_HELP} Default: this machine."),
]
RecipeFile = Annotated[
    Path | None,
    typer.Option(
        "--recipe",
        rich_help_panel=DONE,
        help="A candidate's TOML, as it lies beside each artifact: make that one again, search nothing.",
    ),
]
Sensitivity = Annotated[
    bool,
    typer.Option(
        "--sensitivity",
        rich_help_panel=DONE,
        help="Measure what each layer costs alone in integers; print and draw it.",
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        rich_help_panel=DONE,
        help="Where artifacts and the report go; they replace those of an earlier run, for whatever targets.",
    ),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        "--max-drop", min=0, max=100, rich_help_panel=SPENT, help="Points of accuracy that may be lost; default: 1."
    ),
]
MaxSize = Annotated[
    int | None, typer.Option("--max-size-bytes", min=1, rich_help_panel=SPENT, help="Most bytes of the artifact.")
]
MaxLatency = Annotated[
    float | None,
    typer.Option(
        "--max-latency-ms", min=1e-6, rich_help_panel=SPENT, help="Most milliseconds of one inference, the median."
    ),
]


@app.command(cls=Grouped)
def compress(
    model: ModelFile = None,
    calibration: Calibration = None,
    labels: Labels = None,
    preprocess: Preprocess = None,
    target: Targets = None,
    recipe: RecipeFile = None,
    sensitivity: Sensitivity = False,
    out: Out = Path("out"),
    max_drop: MaxDrop = None,
    max_size_bytes: MaxSize = None,
    max_latency_ms: MaxLatency = None,
    project: ProjectFolder = Path(),
    json: AsJson = False,
) -> None:
    """Make a model small and fast for each target, within an accuracy budget, and prove it by measuring.

    Example: edgeml compress kws.onnx --calibration samples.npy --target x86_64-litert --out out

    With labels and a budget: edgeml compress kws.onnx --calibration samples.npy --labels labels.npy --max-drop 0.5
    """
    from edgeml.cli.terminal import Steps
    from edgeml.compression import Options, compress_file, compress_project, rebuild_file
    from edgeml.project import Budget, load_project
    from edgeml.stages import judge_latest
    from edgeml_targets.target import OWN_TARGETS

    command = shlex.join(["edgeml", *sys.argv[1:]])
    if model is None:
        own = {"--calibration": calibration, "--labels": labels, "--target": target, "--max-drop": max_drop}
        own |= {"--max-size-bytes": max_size_bytes, "--max-latency-ms": max_latency_ms, "--preprocess": preprocess}
        _refuse_without_model(own | {"--recipe": recipe})
        own_project = load_project(project)
        done = compress_project(own_project, progress=Steps(), command=command, sensitivity=sensitivity)
        _show(done, json=json, layers=sensitivity)
        judge_latest(own_project, done, progress=Steps())
        return
    samples = _samples_of(model, calibration)
    budget = Budget(size_bytes=max_size_bytes, latency_ms=max_latency_ms)
    drop = 1.0 if max_drop is None else max_drop
    options = Options(labels, preprocess, drop, budget, command, sensitivity, recipe, project / OWN_TARGETS)
    if recipe is not None:
        _show_rebuilt(rebuild_file(model, samples, target or [], out, options=options, progress=Steps()), json=json)
        return
    done = compress_file(model, samples, target or [], out, options=options, progress=Steps())
    _show(done, json=json, layers=sensitivity)


def _refuse_without_model(options: Mapping[str, object]) -> None:
    """Refuse what is asked of a bare model where a project is compressed, which says it itself."""
    from edgeml_targets.contract.errors import EdgemlError

    given = [name for name, value in options.items() if value is not None and value != []]
    if given:
        mend = "edgeml compress MODEL.onnx --calibration DATA; a project says the rest in edgeml.toml"
        raise EdgemlError("no model is given", where=given[0], mend=mend)


def _samples_of(model: Path, calibration: Path | None) -> Path:
    """Return where a bare model's samples are, which must be given."""
    from edgeml_targets.contract.errors import EdgemlError

    if calibration is None:
        mend = "add --calibration with an NPY, an NPZ or a folder of images"
        raise EdgemlError("no samples to calibrate with", where=str(model), mend=mend)
    return calibration


def _show_rebuilt(done: Rebuilding, *, json: bool) -> None:
    """Print what was made again, with its hash, by which it is known to be the same."""
    import msgspec

    if json:
        typer.echo(msgspec.json.encode(done).decode())
    else:
        for made in done.artifacts:
            typer.echo(f"{made.artifact}  {made.size_bytes:,} bytes  sha256 {made.sha256}")
            if made.note:
                typer.echo(made.note)


def _show(done: Compression, *, json: bool, layers: bool) -> None:
    """Print the result; an unmet budget makes the exit code 1, after everything was printed."""
    import msgspec

    from edgeml.compression import unmet_budgets
    from edgeml_targets.contract.errors import GateFailed

    if json:
        typer.echo(msgspec.json.encode(done).decode())
    else:
        _print(done, layers=layers)
    unmet = unmet_budgets(done)
    if unmet:
        raise GateFailed("; ".join(unmet), where=done.model, mend="raise the budget, or make the model smaller")


def _print(done: Compression, *, layers: bool) -> None:
    from edgeml.cli.terminal import headline, table
    from edgeml.compression import summary

    typer.echo()
    header, rows = _fitting(done)
    table(header, rows, left=2)
    if layers:
        _print_layers(done)
    headline(summary(done))
    _print_float(done)
    if done.preprocessing:
        typer.echo(f"Images    {done.preprocessing}")
    typer.echo(f"Report    {done.report}")
    first, *more = [t.artifact for t in done.targets]
    typer.echo(f"Artifacts {first}{f' and {len(more)} more' if more else ''}")
    _print_notes(done)


def _print_float(done: Compression) -> None:
    """Print how often the float model itself is right: beside one that only guesses, no candidate loses anything."""
    from edgeml.figures import number, percent

    plain = done.targets[0].candidate("float32")
    if plain.accuracy is not None and plain.accuracy_low is not None and plain.accuracy_high is not None:
        between = f"{number(100 * plain.accuracy_low, 1)} to {number(100 * plain.accuracy_high, 1)}"
        share = percent(plain.accuracy)
        typer.echo(
            f"Float     right on {share} of {done.evaluation_samples:,} held-back samples (95 % interval {between})"
        )


def _print_layers(done: Compression) -> None:
    """Print what each layer costs, the quietest first; targets with the same figures share a table."""
    from edgeml.cli.terminal import table
    from edgeml.figures import ending, number
    from edgeml.report.layer_words import grouped, layers_of, loss_name

    for group in grouped(done):
        typer.echo(f"\n{', '.join(t.target for t in group)}: each layer alone in integers")
        header = ["layer", "operator", "takes", "weights", "SQNR, dB", loss_name(labelled=done.labelled)]
        costs = zip(group[0].sensitivity, layers_of(group[0], labelled=done.labelled), strict=True)
        rows = [
            [
                ending(cost.node, MOST_NAME),
                cost.operator,
                layer.form,
                number(cost.values),
                number(cost.sqnr_db, 1),
                layer.loss,
            ]
            for cost, layer in costs
        ]
        table(header, rows, left=3)


@dataclass(frozen=True)
class _Row:
    """A target's cells; `judged` is `points` or `cosine`, `between` the interval of points, empty for a cosine."""

    target: str
    chosen: str
    p50: str
    faster: str
    size: str
    smaller: str
    judged: str
    value: str
    between: str
    verdict: tuple[str, str]

    def in_one_line(self) -> dict[str, Any]:
        """Return the cells by their header."""
        judged = (
            {f"{self.judged} (95 %)": f"{self.value} ({self.between})"} if self.between else {self.judged: self.value}
        )
        return self._beside(
            {"p50": self.p50, "faster": self.faster, "size": self.size, "smaller": self.smaller} | judged
        )

    def in_two_lines(self) -> dict[str, Any]:
        """Return the same with what belongs together below each other."""
        judged = (
            (f"{self.judged}\n95 %", f"{self.value}\n{self.between}") if self.between else (self.judged, self.value)
        )
        pairs = {"p50\nfaster": f"{self.p50}\n{self.faster}", "size\nsmaller": f"{self.size}\n{self.smaller}"}
        return self._beside(pairs | dict([judged]))

    def _beside(self, figures: dict[str, Any]) -> dict[str, Any]:
        return {"target": self.target, "chosen": self.chosen} | figures | {"": self.verdict}


def _fitting(done: Compression) -> tuple[list[str], list[list[Any]]]:
    """Return the table's header and rows in the plainest form that is not too wide; where none is, `table` prints lines of them."""
    from edgeml.cli.terminal import fits

    rows = [_row(t, done) for t in done.targets]
    short = [dataclasses.replace(row, between="") for row in rows]
    forms = [[row.in_one_line() for row in of] for of in (rows, short)] + [
        [row.in_two_lines() for row in of] for of in (rows, short)
    ]
    tables = [(list(form[0]), [list(cells.values()) for cells in form]) for form in forms]
    return next((t for t in tables if fits(*t)), tables[0])


def _print_notes(done: Compression) -> None:
    """Print the notes, each once, with the targets that it is about; an unmet budget is told as the error."""
    from edgeml.cli.terminal import note as say

    about: dict[str, list[str]] = {}
    for target in done.targets:
        for note in (n for n in target.notes if target.unmet is None or target.unmet not in n):
            about.setdefault(note, []).append(target.target)
    for note, targets in about.items():
        where = "" if len(targets) == len(done.targets) else f"{', '.join(targets)}: "
        say(f"{where}{note}")


def _row(result: TargetResult, done: Compression) -> _Row:
    from edgeml.figures import kilobytes, milliseconds, number
    from edgeml.report.compression_words import times_faster, verdict

    said = verdict(result)
    value, between = _judged(result, done)
    return _Row(
        target=result.target,
        chosen=result.chosen,
        p50=milliseconds(result.p50_us),
        faster=number(times_faster(result), 2, "×"),
        size=kilobytes(result.size_bytes),
        smaller=number(result.float_size_bytes / result.size_bytes, 1, "×"),
        judged="points" if done.labelled else "cosine",
        value=value,
        between=between,
        verdict=(said.brief, said.status),
    )


def _judged(result: TargetResult, done: Compression) -> tuple[str, str]:
    """Return points of accuracy against float and their interval, or the worst cosine and nothing."""
    from edgeml.figures import number, signed

    if not done.labelled:
        return number(result.cosine_min, 4), ""
    taken = result.candidate(result.chosen)
    if taken.drop_points is None or taken.drop_low is None or taken.drop_high is None:
        return number(None), number(None)
    change, low, high = (signed(round(-drop, 1) + 0.0) for drop in (taken.drop_points, taken.drop_high, taken.drop_low))
    return change, f"{low} to {high}"
