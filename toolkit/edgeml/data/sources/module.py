"""The user's own `module:function` that returns (inputs, labels, class names). Only calling it tells whether its data changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np

from edgeml.data.sources import Raw, Source, arrays_as_raw
from edgeml.functions import call, find_function
from edgeml.project import DataSection
from edgeml_targets.contract.errors import EdgemlError

FORM: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def _read(section: DataSection, root: Path) -> Raw:
    returned = call(find_function(section.source, root), section.source)
    mend = "return (inputs, labels, class names): two arrays and a list"
    if not isinstance(returned, tuple | list) or len(returned) != 3:
        raise EdgemlError(f"returned a {type(returned).__name__}", where=section.source, mend=mend)
    try:
        inputs, labels, names = np.asarray(returned[0]), np.asarray(returned[1]), [str(n) for n in returned[2]]
    except (TypeError, ValueError) as error:
        raise EdgemlError(f"returned no arrays: {error}", where=section.source, mend=mend) from error
    return arrays_as_raw(section, inputs, labels, names, section.source)


SOURCE = Source(
    accepts=lambda source, path: FORM.fullmatch(source) is not None and not path.exists(),
    stamp=lambda section, root: None,
    read=_read,
)
