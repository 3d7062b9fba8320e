"""The user's own functions, `module:function`: found in the project's folder first, called with their errors told."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeml_targets.contract.errors import EdgemlError


def find_function(reference: str, root: Path) -> Callable[..., Any]:
    """Return the function that `module:function` names; a module file in `root` comes before an installed one.

    Raises:
        EdgemlError: There is no such module or function, or importing the module fails.
    """
    module, _, function = reference.partition(":")
    with _looking_in(root):
        found = call(lambda: _import(module, root), reference)
    named: Callable[..., Any] | None = getattr(found, function, None)
    if not callable(named):
        raise EdgemlError(f"no function {function} in {module}", where=reference, mend="check its name")
    return named


def call(function: Callable[..., Any], reference: str, *arguments: Any) -> Any:
    """Call a user's function; what it raises is told in one line with the place in the user's own file.

    Raises:
        EdgemlError: The function raised.
    """
    try:
        return function(*arguments)
    except EdgemlError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        what = f"raised {type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"
        raise EdgemlError(what, where=reference, mend="--debug shows the traceback") from error


def source_of(reference: str, root: Path) -> bytes:
    """Return the bytes of the user's module file in `root`, or nothing when it is an installed one."""
    file = root / (reference.partition(":")[0].replace(".", "/") + ".py")
    return file.read_bytes() if file.is_file() else b""


def _import(module: str, root: Path) -> ModuleType:
    file = root / (module.replace(".", "/") + ".py")
    if "." in module or not file.is_file():
        return importlib.import_module(module)
    # Loaded anew each time and under a name of its own: two projects of one process may both have a `network.py`,
    # and a user's `random.py` must not take the place of Python's.
    name = f"edgeml_project_{module}"
    specification = importlib.util.spec_from_file_location(name, file)
    if specification is None or specification.loader is None:
        raise ImportError(f"{file} cannot be imported")
    found = importlib.util.module_from_spec(specification)
    sys.modules[name] = found
    specification.loader.exec_module(found)
    return found


@contextlib.contextmanager
def _looking_in(root: Path) -> Iterator[None]:
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))
