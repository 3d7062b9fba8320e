"""The docs lead somewhere, and the README's five lines run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert broken == []


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "make demo" in readme
    assert "make test" in readme


@pytest.mark.system
def test_the_five_lines_for_your_own_model_run(tiny_cnn: Path, tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text().partition("## Your own model")[2]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    lines = [line for line in block[1].splitlines() if line]
    assert len(lines) == 5
    (tmp_path / "model.onnx").write_bytes(tiny_cnn.read_bytes())
    rng = np.random.default_rng(0)
    np.save(tmp_path / "samples.npy", rng.normal(size=(96, 3, 16, 16)).astype("f4"))
    np.save(tmp_path / "labels.npy", np.arange(96) % 10)
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for line in lines:
        done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, f"{line}\n{done.stderr[-1500:]}"
