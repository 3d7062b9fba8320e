"""Options that commands share, each written once; and how a long list of options is shown in groups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output; talk goes to standard error.")
]
ProjectFolder = Annotated[Path, typer.Option("--project", help="The folder with edgeml.toml.")]
ModelId = Annotated[
    str | None, typer.Argument(help="A model's id; without one, the project's latest model.", show_default=False)
]
TARGETS_HELP: Final = "A target, `x86_64-litert`; give it again for more than one."
TargetNames = Annotated[list[str] | None, typer.Option("--target", metavar="<name>", help=TARGETS_HELP)]
TargetName = Annotated[str, typer.Option("--target", help="A target, `x86_64-litert`.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, max=1024, help="Threads of one inference; default: the target's.")
]


class Grouped(TyperCommand):
    """A command whose help shows its options under the heads that they name as `rich_help_panel`, the others last.

    Typer itself does so only together with Rich's boxes.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and the groups of options, in the order in which each is met first."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        others: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            head = "Arguments" if param.param_type_name == "argument" else getattr(param, "rich_help_panel", None)
            if record is not None:
                (groups.setdefault(head, []) if head else others).append(record)
        for head, records in [*groups.items(), ("Options", others)]:
            if records:
                with formatter.section(head):
                    formatter.write_dl(records)
