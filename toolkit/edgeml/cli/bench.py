"""`edgeml bench`: how fast a model or an artifact is; `edgeml bench compare`: whether B is faster than A."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from edgeml.cli.options import AsJson, ProjectFolder, TargetName, Threads

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgeml_bench import Comparison, Measurement
    from edgeml_bench.comparison import Measure

MODEL: Final = "model"
DEFAULT_TARGET: Final = (
    "x86_64-onnxruntime"  # the same as `edgeml_targets.target.DEFAULT_TARGET`, which costs pydantic to import
)
DASH: Final = "—"


class _ModelFirst(TyperGroup):
    """A group whose first word may be a MODEL: what is no subcommand is benched."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [MODEL, *args]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return ["MODEL [OPTIONS]\n      ", ctx.command_path, "compare A B [OPTIONS]"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.commands[MODEL].format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


class _Unnamed(TyperCommand):
    """The command of a MODEL, which nobody calls by its name."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        formatter.write_usage(ctx.parent.command_path, "MODEL [OPTIONS]")


app = typer.Typer(cls=_ModelFirst, no_args_is_help=True)

ModelFile = Annotated[Path, typer.Argument(help="An ONNX file, or an artifact of ours.", show_default=False)]
InputFile = Annotated[
    Path | None,
    typer.Option("--input", help="NPY or NPZ with one input as the model takes it; default: random values."),
]
ReportFile = Annotated[Path | None, typer.Option("--report", help="Write an HTML report there.")]


@app.callback()
def _bench() -> None:
    """Measure how fast a model is on a target of this machine: in a fresh process, after a warm-up.

    Example: edgeml bench out/x86_64-litert/kws.int8.tflite --target x86_64-litert
    """


@app.command(MODEL, cls=_Unnamed, hidden=True)
def bench(
    model: ModelFile,
    target: TargetName = DEFAULT_TARGET,
    threads: Threads = None,
    input_file: InputFile = None,
    project: ProjectFolder = Path(),
    json: AsJson = False,
) -> None:
    """Measure how fast a model is. Example: edgeml bench kws.onnx --target x86_64-onnxruntime"""
    from edgeml.cli.terminal import Steps
    from edgeml_bench import measure
    from edgeml_targets.target import OWN_TARGETS, find_target

    wanted = find_target(target, project / OWN_TARGETS)
    found = measure(model, wanted, threads=threads, inputs=_inputs(input_file), progress=Steps())
    if json:
        typer.echo(found.to_json())
    else:
        _print_measurement(found)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="What B is compared with.", show_default=False)],
    b: Annotated[Path, typer.Argument(help="What is judged.", show_default=False)],
    target: TargetName = DEFAULT_TARGET,
    threads: Threads = None,
    input_file: InputFile = None,
    report: ReportFile = None,
    project: ProjectFolder = Path(),
    json: AsJson = False,
) -> None:
    """Tell whether B is faster than A: timed in turns, each loaded anew. Example: edgeml bench compare a.onnx b.onnx"""
    from edgeml.cli.terminal import Steps
    from edgeml_bench import compare
    from edgeml_targets.target import OWN_TARGETS, find_target

    wanted = find_target(target, project / OWN_TARGETS)
    found = compare(a, b, wanted, threads=threads, inputs=_inputs(input_file), progress=Steps())
    if report is not None:
        from edgeml.report.comparison import write

        write(found, report)
    if json:
        typer.echo(found.to_json())
    else:
        _print_comparison(found, report)


def _inputs(file: Path | None) -> dict[str, npt.NDArray[Any]] | None:
    if file is None:
        return None
    from edgeml_bench.feeding import read_inputs

    return read_inputs(file)


def _print_measurement(found: Measurement) -> None:
    from edgeml.cli.terminal import headline, table

    headline(f"{found.model}: {_time(found.p50_us)} an inference on {found.target}.")
    typer.echo()
    rows = [
        [
            "p50",
            _time(found.p50_us),
            f"{_time(found.p50_low_us)} to {_time(found.p50_high_us)} over {found.loads} loads",
        ],
        ["p90", _time(found.p90_us), ""],
        ["p99", _time(found.p99_us), f"{found.inferences:,} inferences"],
        ["throughput", f"{found.throughput_per_s:,.0f} /s", "one after the other"],
        ["load time", _time(1000 * found.load_ms), f"and {_time(found.first_us)} for the first inference"],
        [
            "memory",
            _size(found.peak_memory_bytes),
            f"at its peak, {_size(found.added_memory_bytes)} of it by the model",
        ],
        ["size", _size(found.size_bytes), f"sha256 {found.sha256[:12]}"],
    ]
    table(["", "figure", ""], rows, left=1)
    threads = f"{found.threads} thread{'s' if found.threads > 1 else ''}"
    typer.echo(f"\n{found.runtime} {found.runtime_version}, {found.precision}, {threads}")
    typer.echo(f"{found.machine.cpu}, {found.machine.cores} cores: {', '.join(found.machine.features)}")
    _print_notes(found.notes)


def _print_comparison(found: Comparison, report: Path | None) -> None:
    from edgeml.cli.terminal import headline, table

    headline(found.reason)
    typer.echo(f"A {found.a}\nB {found.b}\n")
    table(["", "A", "B", "B over A", "95 % interval", "B against A"], [_row(m) for m in found.measures])
    typer.echo(
        f"\n{found.runtime} {found.runtime_version}, {found.threads} thread{'s' if found.threads > 1 else ''}, "
        f"{found.loads} loads of each, {found.machine.cpu}"
    )
    _print_notes(found.notes)
    if report is not None:
        typer.echo(f"Report {report}")


def _row(measure: Measure) -> list[str]:
    interval = DASH if measure.low is None or measure.high is None else f"{measure.low:.3f} to {measure.high:.3f}"
    ratio = DASH if measure.ratio is None else f"{measure.ratio:.3f}"
    return [
        measure.name,
        _figure(measure.a, measure.unit),
        _figure(measure.b, measure.unit),
        ratio,
        interval,
        measure.verdict or "measured once",
    ]


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return DASH
    if unit == "bytes":
        return _size(int(value))
    if unit == "1/s":
        return f"{value:,.0f} /s"
    return _time(value * (1000 if unit == "ms" else 1))


def _print_notes(notes: tuple[str, ...]) -> None:
    from edgeml.cli.terminal import note

    for sentence in notes:
        note(sentence)


def _time(us: float) -> str:
    """Return a time with three digits: 65.3 us, 1.35 ms, 2.10 s."""
    for unit, size in (("us", 1.0), ("ms", 1e3), ("s", 1e6)):
        if us < 999.5 * size or unit == "s":
            value = us / size
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"
    raise AssertionError


def _size(count: int | None) -> str:
    if count is None:
        return DASH
    return f"{count / 1e6:.1f} MB" if count >= 999_500 else f"{count / 1e3:.0f} kB"
