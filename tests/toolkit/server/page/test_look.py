"""The tokens are the brief's, live in one place, and every text can be read on every ground."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgeml.report.look import STATIC, tokens
from edgeml.server.page.icons import icon, square

PAGE = STATIC.parent
BRIEF = {
    "bg": ("#F6F7F9", "#0E1217"),
    "surface": ("#FFFFFF", "#161B22"),
    "sunken": ("#F0F2F5", "#1D242D"),
    "line": ("#DFE3E9", "#2A323D"),
    "line-strong": ("#C3CAD4", "#465262"),
    "text": ("#12161C", "#E9EDF2"),
    "text-2": ("#465160", "#AEB9C6"),
    "text-3": ("#5B6675", "#8C98A7"),
    "ref": ("#697586", "#8C99A9"),
    "ref-soft": ("#C9D0D9", "#475362"),
    "now": ("#1D5FC9", "#6CA8FF"),
    "now-2": ("#5F8FE0", "#4C7CC8"),
    "now-soft": ("#A9C6F3", "#2F5590"),
    "now-tint": ("#E8F0FD", "#17294A"),
    "ok": ("#0F7B6C", "#45C4A8"),
    "ok-text": ("#0B6A5D", "#5BD0B6"),
    "ok-tint": ("#E2F3EF", "#10322C"),
    "cell-ok": ("#3F9C8B", "#2E7F70"),
    "warn": ("#C97B00", "#F5B942"),
    "warn-text": ("#875000", "#F5B942"),
    "warn-tint": ("#FDF1DA", "#38290C"),
    "bad": ("#B0163C", "#FF6F86"),
    "bad-text": ("#A6123A", "#FF8A9C"),
    "bad-tint": ("#FCE7EC", "#431C26"),
}
GROUNDS = {
    "text": ("bg", "surface", "sunken", "warn-tint", "bad-tint", "now-tint"),
    "text-2": ("bg", "surface", "sunken"),
    "text-3": ("bg", "surface", "sunken"),
    "now": ("surface", "now-tint"),
    "ok-text": ("surface", "ok-tint"),
    "warn-text": ("surface", "warn-tint"),
    "bad-text": ("surface", "bad-tint"),
}


def written(selector: str) -> dict[str, str]:
    block = re.search(re.escape(selector) + r"\s*\{(.*?)\}", (STATIC / "look.css").read_text(), re.DOTALL)
    assert block is not None
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9A-Fa-f]{6})", block[1]))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_the_tokens_are_the_briefs_and_reports_take_the_light_ones() -> None:
    assert written(":root") == {name: light for name, (light, _) in BRIEF.items()} == tokens()
    assert written(".body--dark") == {name: dark for name, (_, dark) in BRIEF.items()}


@pytest.mark.parametrize("theme", (":root", ".body--dark"))
def test_every_text_has_a_contrast_of_four_and_a_half_on_its_grounds(theme: str) -> None:
    colours = written(theme)
    poor = {
        (text, ground): round(contrast(colours[text], colours[ground]), 2)
        for text, grounds in GROUNDS.items()
        for ground in grounds
        if contrast(colours[text], colours[ground]) < 4.5
    }
    assert not poor


@pytest.mark.parametrize("theme", (":root", ".body--dark"))
def test_every_mark_has_a_contrast_of_three_on_a_card(theme: str) -> None:
    colours = written(theme)
    marks = ("ref", "now", "now-2", "ok", "cell-ok", "warn", "bad")
    assert not {m for m in marks if contrast(colours[m], colours["surface"]) < 3}


def test_no_colour_is_written_outside_the_tokens() -> None:
    css = (STATIC / "look.css").read_text()
    after = css[css.index(".body--dark") :]
    after = after[after.index("}") :]
    files = [*PAGE.rglob("*.py"), *PAGE.rglob("*.html"), *PAGE.glob("*.js"), STATIC / "page.js"]
    found = {path.name: re.findall(r"#[0-9A-Fa-f]{6}\b|\brgba?\(|\bhsla?\(", path.read_text()) for path in files}
    found["look.css"] = re.findall(r"#[0-9A-Fa-f]{3,8}\b|\brgba?\(|\bhsla?\(", after)
    assert not {name: colours for name, colours in found.items() if colours}


def test_no_font_is_smaller_than_twelve_pixels() -> None:
    css = (STATIC / "look.css").read_text()
    sizes = [float(size) for size in re.findall(r"font(?:-size)?:[^;]*?\b([\d.]+)px", css)]
    assert sizes and min(sizes) >= 12


def test_the_font_is_shipped_with_its_licence() -> None:
    assert (STATIC / "inter.woff2").read_bytes()[:4] == b"wOF2"
    assert "SIL Open Font License, Version 1.1" in (STATIC / "inter-OFL.txt").read_text()


def test_an_icon_alone_says_its_word_and_one_beside_its_word_is_silent() -> None:
    assert 'role="img" aria-label="over &lt;x&gt;"' in icon("warn", word="over <x>")
    assert 'aria-hidden="true"' in icon("warn")
    assert len({square(state) for state in ("healthy", "degraded", "silent", "never_seen")}) == 4


def test_templates_write_no_markup_of_strangers() -> None:
    for template in (PAGE / "templates").glob("*.html"):
        assert "| safe" not in template.read_text(), template.name
    assert Path(STATIC).is_dir()
