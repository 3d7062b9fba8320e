"""The one error tree.

EdgemlError            a user can mend it: exit code 2
├── NotWritten         a file cannot be written: no space, no right to
├── NotExpressed       a format cannot express what a model asks for
└── GateFailed         a gate failed or a budget is not met: exit code 1
"""

from __future__ import annotations


class EdgemlError(Exception):
    """A user can mend it: the CLI prints the one line, exit code 2. Any other exception is a bug of ours.

    Example:
        >>> str(EdgemlError("bits is 16, allowed are 2 to 8", where="recipes/kws.toml: passes[1]", mend="lower it"))
        'recipes/kws.toml: passes[1]: bits is 16, allowed are 2 to 8; lower it'
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str, mend: str) -> None:
        super().__init__(f"{where}: {what}; {mend}")
        self.what, self.where, self.mend = what, where, mend


class NotWritten(EdgemlError):
    """A file cannot be written; with space or the right to write there it could be."""


class NotExpressed(EdgemlError):
    """A format cannot express what a model asks for; it might, where a size or a value of it were known."""


class GateFailed(EdgemlError):
    """A gate failed or a budget is not met: the chain stops, exit code 1."""

    exit_code = 1
