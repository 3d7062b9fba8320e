"""The docs lead somewhere, and the README's five lines run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeml_targets.artifacts import EXPORT_FROM_TORCH
from edgeml_targets.models import model_tensors, read_model

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
PACKAGE_PATH = re.compile(r"[\w/]*\bedgeml_\w+/[\w/.-]+")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_paths_of_packages_begin_at_the_root(page: Path) -> None:
    paths = PACKAGE_PATH.findall(page.read_text())  # of some files a how-to says that they are to be written
    assert [path for path in paths if not (ROOT / path).parent.is_dir()] == []


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


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/how-to/compress.md"])
def test_a_pytorch_model_is_exported_as_the_page_shows(page: str, tmp_path: Path) -> None:
    block = re.search(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert block is not None and EXPORT_FROM_TORCH.split(": ", 1)[1].split(" with ")[0] in block[1]
    net = "model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 4), torch.nn.Flatten(), torch.nn.LazyLinear(5))\n"
    script = block[1].replace("torch.onnx.export", f"{net}model(example)\ntorch.onnx.export")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-1500:]
    assert model_tensors(read_model(tmp_path / "model.onnx"))[0][0].shape == (-1, 3, 224, 224)
