"""The store's schema, version by version: a file a step in `versions/`, named by its number. Run by Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from edgeml_targets.contract.errors import EdgemlError

HERE: Final = Path(__file__).parent


def newest_version() -> str:
    """Return the version that this edgeml writes, `0001`: the highest number in `versions/`."""
    return max(path.name[:4] for path in (HERE / "versions").glob("[0-9]*.py"))


def version_of(connection: sa.Connection) -> str | None:
    """Return a store's version, `None` where nothing was stored yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def migrate(connection: sa.Connection, *, where: str) -> None:
    """Bring a store up to the newest version, in the transaction of `connection`; `where` names the store in the error.

    Raises:
        EdgemlError: A newer edgeml wrote it.
    """
    found, newest = version_of(connection), newest_version()
    if found == newest:
        return  # the usual case, which shall not pay for importing Alembic
    if found is not None and found > newest:
        raise EdgemlError(
            f"the store has schema version {found}, this edgeml knows {newest}", where=where, mend="update edgeml"
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
