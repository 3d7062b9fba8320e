"""Sound with the loudness, the rhythm and the formants of speech, tones, noise and silence, cut as silero-vad wants it.

A recurrent network's state is an input: it is carried along by running the float network over each clip.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

RATE_HZ: Final = 16_000
CHUNK: Final = 512  # new values a step at 16 kHz; half as many at 8 kHz
CONTEXT: Final = 64  # values of the step before that stand in front
CLIP_STEPS: Final = 48  # a clip lasts 1.5 s
STRIDE: Final = 4  # of a clip's steps, every so many is a sample
SEQUENCE: Final = 12  # steps a sample of the network that takes a whole sequence
FORMANTS_HZ: Final = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""Three formants each of a, i, u, e and o: Peterson and Barney 1952, men's averages."""


def heard(file: Path, count: int, rng: np.random.Generator, rate_hz: int = RATE_HZ) -> dict[str, Array]:
    """Return single steps, `input` (count, 576) and `state` (count, 2, 1, 128), and `sr` (count,) where the network asks for it."""
    session = _open(file)
    takes_rate = "sr" in [value.name for value in session.get_inputs()]
    steps: list[dict[str, Array]] = []
    while len(steps) < count:
        state = np.zeros((2, 1, 128), np.float32)
        for i, chunk in enumerate(_chunks(rng, rate_hz)):
            feed = {"input": chunk[None], "state": state}
            if takes_rate:
                feed["sr"] = np.asarray(rate_hz, np.int64)
            if i % STRIDE == STRIDE - 1:
                steps.append({**feed, "input": chunk})
            state = session.run(["stateN"], feed)[0]
    return {name: np.stack([step[name] for step in steps[:count]]) for name in steps[0]}


def heard_in_sequence(file: Path, count: int, rng: np.random.Generator) -> dict[str, Array]:
    """Return whole sequences, `input` (count, 12, 576), with the state before them, `h` and `c` (count, 1, 1, 128)."""
    session = _open(file)
    steps: list[dict[str, Array]] = []
    while len(steps) < count:
        h, c = (np.zeros((1, 1, 128), np.float32) for _ in range(2))
        chunks = _chunks(rng, RATE_HZ)
        for first in range(0, len(chunks) - SEQUENCE + 1, SEQUENCE):
            feed = {"input": chunks[first : first + SEQUENCE], "h": h, "c": c}
            steps.append(feed)
            h, c = session.run(["hn", "cn"], feed)
    return {name: np.stack([step[name] for step in steps[:count]]) for name in steps[0]}


def _open(file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _chunks(rng: np.random.Generator, rate_hz: int) -> Floats:
    """Return a clip cut into steps, each with the end of the one before in front, (CLIP_STEPS, 576 at 16 kHz)."""
    size, before = CHUNK * rate_hz // RATE_HZ, CONTEXT * rate_hz // RATE_HZ
    clip = np.concatenate([np.zeros(before, np.float32), _clip(rng, CLIP_STEPS * size, rate_hz)])
    return np.stack([clip[i * size : i * size + before + size] for i in range(CLIP_STEPS)])


def _clip(rng: np.random.Generator, size: int, rate_hz: int) -> Floats:
    """Return bursts of several kinds one after another over faint noise, within -1 to 1."""
    clip = rng.normal(0, 10 ** rng.uniform(-4, -2), size)
    at = 0
    while at < size:
        long = min(size - at, int(rng.uniform(0.15, 0.6) * rate_hz))
        kind: Callable[[np.random.Generator, int, int], Array] = KINDS[int(rng.integers(len(KINDS)))]
        clip[at : at + long] += kind(rng, long, rate_hz) * 10 ** rng.uniform(-1.5, -0.2)
        at += long
    return np.clip(clip, -1, 1).astype(np.float32)


def _speech(rng: np.random.Generator, size: int, rate_hz: int) -> Array:
    """Return a vowel that glides into another: pulses of the vocal folds through three resonators a vowel."""
    pitch = np.linspace(rng.uniform(85, 240), rng.uniform(85, 240), size)
    folds = (np.diff(np.cumsum(pitch / rate_hz) % 1, prepend=0) < 0).astype(np.float64)
    sound = np.zeros(size)
    glide = np.linspace(0, 1, size)
    for vowel, share in zip(rng.integers(len(FORMANTS_HZ), size=2), (1 - glide, glide), strict=True):
        voiced = folds + rng.normal(0, 0.01, size)
        for formant in FORMANTS_HZ[vowel]:
            turn, damping = 2 * np.pi * formant / rate_hz, np.exp(-np.pi * 90 / rate_hz)
            voiced = lfilter([1 - damping], [1, -2 * damping * np.cos(turn), damping**2], voiced)
        sound += share * voiced / max(np.abs(voiced).max(), 1e-9)
    return sound * np.hanning(size) ** 0.3


def _tone(rng: np.random.Generator, size: int, rate_hz: int) -> Array:
    time_s = np.arange(size) / rate_hz
    tones = rng.uniform(60, 3_800, (int(rng.integers(1, 4)), 1))
    return np.asarray(np.sin(2 * np.pi * tones * time_s).sum(axis=0) / 3)


def _noise(rng: np.random.Generator, size: int, rate_hz: int) -> Array:
    rough = lfilter([1], [1, -rng.uniform(0, 0.95)], rng.normal(0, 1, size))
    return np.asarray(rough / np.abs(rough).max() * np.hanning(size))


def _silence(rng: np.random.Generator, size: int, rate_hz: int) -> Array:
    return np.zeros(size)


KINDS: Final = (_speech, _speech, _speech, _tone, _noise, _silence)
