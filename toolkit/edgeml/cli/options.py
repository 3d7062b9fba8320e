"""Options that commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output; talk goes to standard error.")
]
ProjectFolder = Annotated[Path, typer.Option("--project", help="The folder with edgeml.toml.")]
ModelId = Annotated[
    str | None, typer.Argument(help="A model's id; without one, the project's latest model.", show_default=False)
]
TargetNames = Annotated[
    list[str] | None, typer.Option("--target", help="A target, `x86_64-litert`; give it again for more than one.")
]
TargetName = Annotated[str, typer.Option("--target", help="A target, `x86_64-litert`.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, max=1024, help="Threads of one inference; default: the target's.")
]
