"""The zoo: small networks, a file each. The folder is the list; each file ends in `NETWORK = Network(...)`.

Their names have hyphens where the files' have underscores.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeml_targets.contract.errors import EdgemlError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Network:
    """A network of the zoo.

    Args:
        takes: What it takes, in words: "images of (channels, height, width)".
        fits: Whether it can take an input of that shape, without the batch axis.
        build: Called with the input's shape and the number of classes, 2 or more; the network returns logits (batch, classes).
    """

    takes: str
    fits: Callable[[tuple[int, ...]], bool]
    build: Callable[[tuple[int, ...], int], nn.Module]


def network_names() -> list[str]:
    """Return the names of all networks, sorted."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__))


def find_network(name: str) -> Network:
    """Return a network by name.

    Raises:
        EdgemlError: There is none of that name.
    """
    if name not in network_names():
        raise EdgemlError("no such network", where=name, mend=f"choose one of {', '.join(network_names())}")
    found: Network = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").NETWORK
    return found
