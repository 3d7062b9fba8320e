"""JapaneseVowels: 640 utterances of two vowels by nine speakers, 12 coefficients over 7 to 29 steps, that sktime ships.

The class is the speaker. Series of unequal length are padded with zeros at their end to the longest, as Karim et al. 2019,
arXiv:1801.04503, do; nothing is resampled, so that a device can do the same while it listens. Nothing is downloaded.

Source: Kudo, Toyama and Shimbo 1999, doi:10.1016/S0167-8655(99)00077-X; Loening et al. 2019, arXiv:1909.07872 (sktime).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edgeml.data.sources import Raw, Source, arrays_as_raw
from edgeml.project import DataSection
from edgeml_targets.contract.errors import EdgemlError

NAME: Final = "japanese-vowels"
FILES: Final = ("JapaneseVowels_TRAIN.ts", "JapaneseVowels_TEST.ts")
CHANNELS: Final = 12
STEPS: Final = 29


def japanese_vowels() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the series, float32 (640, 12, 29), and their speakers, int64 (640,), 1 to 9.

    The archive's training samples come first, 270, then its test samples, 370.

    Raises:
        EdgemlError: sktime is not installed, or its file is not what it was.
    """
    series, speakers = zip(*(read_line(line, f) for f in _files() for line in _data_lines(f)), strict=True)
    return np.stack([padded(s, STEPS) for s in series]), np.array(speakers, np.int64)


def padded(series: npt.NDArray[np.float32], steps: int) -> npt.NDArray[np.float32]:
    """Return a series (channels, time) as (channels, steps): zeros at its end, or what is too long cut off there."""
    whole = np.zeros((len(series), steps), np.float32)
    kept = series[:, :steps]
    whole[:, : kept.shape[1]] = kept
    return whole


def read_line(line: str, file: Path) -> tuple[npt.NDArray[np.float32], int]:
    """Return the series (12, time) and the speaker of one line, `1.86,1.89:-0.2,-0.17:...:1`.

    Raises:
        EdgemlError: It has another form.
    """
    *channels, speaker = line.split(":")
    try:
        series = np.array([[float(value) for value in channel.split(",")] for channel in channels], np.float32)
        if series.ndim == 2 and len(series) == CHANNELS:
            return series, int(speaker)
    except ValueError:
        pass  # told below, like every other form
    what = f"a line is no series of {CHANNELS} channels and a speaker: {line[:40]!r}"
    raise EdgemlError(what, where=str(file), mend="install sktime anew")


def _files() -> tuple[Path, ...]:
    """Return where sktime has the files; it is found, not imported, which took 4 s."""
    found = find_spec("sktime")
    if found is None or not found.submodule_search_locations:
        raise EdgemlError("sktime is not installed", where=NAME, mend="pip install 'edgeml[demo]'")
    folder = Path(found.submodule_search_locations[0]) / "datasets" / "data" / "JapaneseVowels"
    return tuple(folder / name for name in FILES)


def _data_lines(file: Path) -> list[str]:
    try:
        text = file.read_text()
    except OSError as error:
        mend = "pip install 'sktime>=1.2', which ships it"
        raise EdgemlError(f"cannot be read: {error.strerror}", where=str(file), mend=mend) from error
    return [line for line in text.partition("@data\n")[2].splitlines() if line]


def _read(section: DataSection, root: Path) -> Raw:
    series, speakers = japanese_vowels()
    return arrays_as_raw(section, series, speakers, [], NAME)


SOURCE = Source(
    accepts=lambda source, path: source == NAME, stamp=lambda section, root: f"{NAME} of sktime", read=_read
)
