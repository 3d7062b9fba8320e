"""`edgeml serve`: run the monitoring server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeml.cli.options import AsJson, ProjectFolder
from edgeml.cli.terminal import console

if TYPE_CHECKING:
    from edgeml.server.running import Running

app = typer.Typer()


@app.command()
def serve(
    project: ProjectFolder = Path(),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page, releases and bundles; 0: any free.")] = 8080,
    mqtt_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Of the embedded broker; default: 1883, or any free one with --port 0."),
    ] = None,
    listen: Annotated[
        str,
        typer.Option(
            help="The address that devices reach; beyond loopback, enrolled devices only, and tokens go in clear."
        ),
    ] = "127.0.0.1",
    broker: Annotated[
        str | None,
        typer.Option(
            envvar="EDGEML_BROKER",
            help="An MQTT broker to use instead: mqtts://host:8883. With a password in it give it as EDGEML_BROKER or as "
            "fleet.broker in edgeml.toml: every user of this machine can read a command line.",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Run the project's server: broker, store, drift, rollouts, retrains, and the fleet page.

    Example: edgeml serve --port 8080
    """
    import logging

    from edgeml.project import load_project
    from edgeml.server.serve import Options
    from edgeml.server.serve import serve as run

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if mqtt_port is None:
        mqtt_port = 1883 if port else 0
    options = Options(listen=listen, port=port, mqtt_port=mqtt_port, broker=broker)
    raise typer.Exit(run(load_project(project), options, _say_json if json else _say))


def _say(running: Running) -> None:
    console().print(f"The fleet page is at [bold]{running.page_url}[/bold], Ctrl-C ends the server.")


def _say_json(running: Running) -> None:
    import msgspec

    typer.echo(msgspec.json.encode({"schema": "edgeml.serve/1"} | msgspec.structs.asdict(running)))
    sys.stdout.flush()
