"""`edgeml demo`: the whole loop on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgeml.cli.options import AsJson

if TYPE_CHECKING:
    from edgeml.demo.result import Demo

app = typer.Typer()


@app.command()
def demo(
    fast: Annotated[bool, typer.Option("--fast", help="Train shorter and ask fewer images: under 90 s.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave server, agents and page up until Ctrl-C.")] = False,
    json: AsJson = False,
) -> None:
    """Train, compress, deploy, drift, retrain, roll out, on real data with real parts. Example: edgeml demo --fast"""
    import msgspec

    from edgeml.cli import terminal
    from edgeml.demo import FAST, FULL, run_demo

    def show(done: Demo) -> None:
        if json:
            typer.echo(msgspec.json.encode(done))
        else:
            _print(done)
        if keep:
            typer.echo(f"The page stays up at {done.page}. Ctrl-C stops everything.", err=True)
            _until_interrupted()

    run_demo(pace=FAST if fast else FULL, progress=terminal.Steps(), stay=show)


def _print(done: Demo) -> None:
    from edgeml import lifecycle
    from edgeml.cli import terminal
    from edgeml.figures import percent

    clean, corrupted, recovered = (percent(s.share) for s in done.scenes)
    terminal.headline(
        f"Accuracy fell from {clean} to {corrupted} under corruption and came back to {recovered} with {done.release_after}."
    )
    rows = [
        [
            scene.name,
            percent(scene.share),
            f"{100 * scene.low:.1f} to {100 * scene.high:.1f}",
            f"{scene.answers:,}",
            scene.release,
            f"{int(scene.at_s) // 60}:{int(scene.at_s) % 60:02d}",
        ]
        for scene in done.scenes
    ]
    typer.echo()
    terminal.table(["on the agents", "accuracy", "95 % interval", "answers", "release", "at"], rows)
    typer.echo()
    terminal.phases_table(lifecycle.Status("edgeml.lifecycle/1", done.phases))
    typer.echo(f"\nDone in {done.seconds:.0f} s. Report: {done.report}.")


def _until_interrupted() -> None:
    import contextlib
    import signal

    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
