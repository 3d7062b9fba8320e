"""Files of many kinds, text, code and binary, as magika reads them: their first and last 1,024 bytes."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
import struct
import sysconfig
import tarfile
import wave
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.foreign.printed import WORDS

END: Final = 1024  # bytes from either end
PADDING: Final = 256  # what stands where a file is shorter


def documents(count: int, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Return features of files of all `KINDS` in turn, (count, 2048), 0 to 256.

    Source: google/magika, python/src/magika/magika.py, `_extract_features_from_seekable`.
    """
    kinds = [KINDS[i % len(KINDS)] for i in rng.permutation(count)]
    return np.stack([features(kind(rng)) for kind in kinds])


def features(content: bytes) -> npt.NDArray[np.int32]:
    """Return what magika sees of a file, (2048,): its stripped head, padded behind, and its stripped tail, padded in front."""
    seen = np.full(2 * END, PADDING, np.int32)
    head, tail = content[:4096].lstrip()[:END], content[-4096:].rstrip()[-END:]
    seen[: len(head)] = np.frombuffer(head, np.uint8)
    seen[2 * END - len(tail) :] = np.frombuffer(tail, np.uint8)
    return seen


def _words(rng: np.random.Generator, count: int) -> list[str]:
    return [str(word) for word in rng.choice(WORDS, count)]


def _name(rng: np.random.Generator) -> str:
    return f"{'_'.join(_words(rng, 2)).lower()}{int(rng.integers(100))}"


def _prose(rng: np.random.Generator) -> bytes:
    sentences = [" ".join(_words(rng, int(rng.integers(5, 15)))).capitalize() for _ in range(int(rng.integers(2, 60)))]
    return (". ".join(sentences) + ".\n").encode()


def _python(rng: np.random.Generator) -> bytes:
    return _of_this_python(rng, "*.py")


def _binary_code(rng: np.random.Generator) -> bytes:
    return _of_this_python(rng, "lib-dynload/*.so")


def _of_this_python(rng: np.random.Generator, pattern: str) -> bytes:
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob(pattern)) or [Path(__file__)]
    return files[int(rng.integers(len(files)))].read_bytes()


def _json(rng: np.random.Generator) -> bytes:
    entries = [
        {_name(rng): float(rng.normal()), "tags": _words(rng, 3), "on": bool(rng.integers(2))} for _ in range(30)
    ]
    return json.dumps(entries[: int(rng.integers(1, 30))], indent=int(rng.integers(1, 5))).encode()


def _csv(rng: np.random.Generator) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow([_name(rng) for _ in range(5)])
    rows.writerows([[*_words(rng, 2), *(f"{v:.3f}" for v in rng.normal(0, 100, 3))] for _ in range(60)])
    return text.getvalue().encode()


def _html(rng: np.random.Generator) -> bytes:
    body = "".join(f'<p class="{_name(rng)}">{" ".join(_words(rng, 12))}</p>\n' for _ in range(20))
    return f"<!DOCTYPE html>\n<html><head><title>{_name(rng)}</title></head>\n<body>{body}</body></html>".encode()


def _c(rng: np.random.Generator) -> bytes:
    functions = [
        f"static int {_name(rng)}(const char *{a}, int {b}) {{\n    return {a}[{b}] + {int(rng.integers(99))};\n}}\n"
        for a, b in (_words(rng, 2) for _ in range(15))
    ]
    return ("#include <stdio.h>\n#include <stdlib.h>\n\n" + "\n".join(functions)).encode()


def _shell(rng: np.random.Generator) -> bytes:
    steps = [f'if [ -f "${_name(rng).upper()}" ]; then\n  echo {" ".join(_words(rng, 4))}\nfi' for _ in range(15)]
    return ("#!/bin/sh\nset -e\n" + "\n".join(steps)).encode()


def _settings(rng: np.random.Generator) -> bytes:
    return "".join(f"[{_name(rng)}]\n{_name(rng)} = {int(rng.integers(1000))}\n" for _ in range(30)).encode()


def _markdown(rng: np.random.Generator) -> bytes:
    parts = [f"## {' '.join(_words(rng, 3))}\n\n- {' '.join(_words(rng, 8))}\n- `{_name(rng)}`\n" for _ in range(12)]
    return ("# " + " ".join(_words(rng, 4)) + "\n\n" + "\n".join(parts)).encode()


def _picture(rng: np.random.Generator) -> bytes:
    pixels = np.cumsum(rng.normal(0, 9, (64, 64, 3)), axis=0) + 128
    held = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(held, str(rng.choice(["PNG", "JPEG", "GIF", "BMP"])))
    return held.getvalue()


def _zip(rng: np.random.Generator) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{_name(rng)}.txt", _prose(rng))
    return held.getvalue()


def _tar(rng: np.random.Generator) -> bytes:
    held, content = io.BytesIO(), _prose(rng)
    with tarfile.open(fileobj=held, mode="w") as archive:
        entry = tarfile.TarInfo(f"{_name(rng)}.txt")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return held.getvalue()


def _packed(rng: np.random.Generator) -> bytes:
    return gzip.compress(_prose(rng), mtime=0) if rng.random() < 0.5 else zlib.compress(_prose(rng))


def _sound(rng: np.random.Generator) -> bytes:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(struct.pack("<2000h", *rng.integers(-9000, 9000, 2000)))
    return held.getvalue()


def _array(rng: np.random.Generator) -> bytes:
    held = io.BytesIO()
    np.save(held, rng.normal(size=500).astype(np.float32))
    return held.getvalue()


def _pickled(rng: np.random.Generator) -> bytes:
    return pickle.dumps({_name(rng): _words(rng, 5) for _ in range(20)})


def _random(rng: np.random.Generator) -> bytes:
    return rng.bytes(int(rng.integers(300, 5000)))


KINDS: Final[tuple[Callable[[np.random.Generator], bytes], ...]] = (
    _prose,
    _python,
    _json,
    _csv,
    _html,
    _c,
    _shell,
    _settings,
    _markdown,
    _picture,
    _zip,
    _tar,
    _packed,
    _sound,
    _array,
    _pickled,
    _binary_code,
    _random,
)
