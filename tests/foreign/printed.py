"""Printed text as pictures: single lines and whole pages, in several typefaces, sizes and colours, on plain and dirty paper."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Floats = npt.NDArray[np.float32]

FONTS: Final = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralBolIta.ttf",
)
"""Of those that matplotlib brings, so that every machine draws the same."""
WORDS: Final = (
    "the of and to in is was for that with as on be at by this from invoice total amount date number order street"
    " city paid balance due customer address phone page contents chapter figure table result method sample value"
    " machine network model device sensor pressure temperature speed north south east west open closed warning"
    " danger exit entrance ticket platform departure arrival train flight gate seat Monday Tuesday Friday January"
    " March August October Berlin Paris London Tokyo Madrid Vienna coffee bread sugar butter water price kg ml EUR"
    " between however therefore because although perhaps never always quick brown fox jumps over lazy dog"
).split()
PAGE: Final = (256, 320)  # height and width in pixels, multiples of 32
LINE_HEIGHT: Final = 48


def lines(count: int, rng: np.random.Generator, *, width: int, turned: float = 0.0) -> Floats:
    """Return pictures of one line of text, (count, 3, 48, width), -1 to 1; a share `turned` of them stands on its head.

    A line that is shorter than the picture is followed by zeros, a longer one is squeezed, as PP-OCR does.
    """
    made = np.zeros((count, 3, LINE_HEIGHT, width), np.float32)
    for picture in made:
        image = _line(rng)
        if rng.random() < turned:
            image = image.rotate(180)
        wide = min(width, max(8, round(image.width * LINE_HEIGHT / image.height)))
        picture[:, :, :wide] = _scaled(image.resize((wide, LINE_HEIGHT), Image.Resampling.BILINEAR))
    return made


def pages(count: int, rng: np.random.Generator) -> Floats:
    """Return pictures of pages with several lines, (count, 3, *PAGE), -1 to 1."""
    height, width = PAGE
    made = np.empty((count, 3, height, width), np.float32)
    for picture in made:
        paper, ink = _colours(rng)
        image = _paper(width, height, paper, rng)
        top = int(rng.integers(4, 24))
        while top < height - 20:
            font = _font(rng, int(rng.integers(11, 30)))
            ImageDraw.Draw(image).text((int(rng.integers(2, 60)), top), _sentence(rng, 5), fill=ink, font=font)
            top += int(font.size * rng.uniform(1.2, 2.6))
        picture[:] = _scaled(_worn(image, rng))
    return made


def _line(rng: np.random.Generator) -> Image.Image:
    paper, ink = _colours(rng)
    text, font = _sentence(rng, 4), _font(rng, int(rng.integers(20, 40)))
    left, top, right, bottom = font.getbbox(text)
    margin = int(rng.integers(2, 9))
    image = _paper(int(right - left) + 2 * margin, int(bottom - top) + 2 * margin, paper, rng)
    ImageDraw.Draw(image).text((margin - left, margin - top), text, fill=ink, font=font)
    return _worn(image, rng)


def _sentence(rng: np.random.Generator, most: int) -> str:
    words = [_word(rng) for _ in range(int(rng.integers(1, most + 1)))]
    text = " ".join(words)
    return text.upper() if rng.random() < 0.15 else text


def _word(rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.7:
        word = str(rng.choice(WORDS))
        return word.capitalize() if rng.random() < 0.25 else word
    number = int(rng.integers(0, 100_000))
    forms = (
        f"{number}",
        f"{number / 100:.2f}",
        f"${number:,}",
        f"No.{number % 977}",
        f"{number % 24:02}:{number % 60:02}",
    )
    return str(rng.choice(forms))


@functools.cache
def _typeface(name: str, size: int) -> ImageFont.FreeTypeFont:
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("matplotlib, whose fonts text is drawn with; make install")
    return ImageFont.truetype(Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / name, size)


def _font(rng: np.random.Generator, size: int) -> ImageFont.FreeTypeFont:
    return _typeface(FONTS[int(rng.integers(len(FONTS)))], size)


def _colours(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return a paper and an ink that can be told apart."""
    light = tuple(int(v) for v in rng.integers(170, 256, 3))
    dark = tuple(int(v) for v in rng.integers(0, 90, 3))
    return (light, dark) if rng.random() < 0.75 else (dark, light)


def _paper(width: int, height: int, colour: tuple[int, ...], rng: np.random.Generator) -> Image.Image:
    plain = np.broadcast_to(np.asarray(colour, np.float32), (height, width, 3))
    shade = np.linspace(rng.uniform(-30, 30), rng.uniform(-30, 30), width, dtype=np.float32)[None, :, None]
    return Image.fromarray(np.clip(plain + shade, 0, 255).astype(np.uint8))


def _worn(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a picture as a camera sees it: a little blurred, a little noisy."""
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 1.2))))
    pixels = np.asarray(image, np.float32)
    noisy = pixels + rng.normal(0, rng.uniform(0, 12), pixels.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _scaled(image: Image.Image) -> Floats:
    pixels = np.asarray(image, np.float32)[:, :, ::-1]  # PP-OCR was trained on OpenCV's order, BGR
    return (pixels / np.float32(127.5) - np.float32(1)).transpose(2, 0, 1)
