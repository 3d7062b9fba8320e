"""The demo removes what a demo left, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from edgeml.demo import FAST, MARK, _project
from edgeml.server.running import Running, announce
from edgeml_targets.contract.errors import EdgemlError


def test_another_project_of_that_name_is_left_alone(tmp_path: Path) -> None:
    project = _project(tmp_path / "edgeml-demo", FAST)
    (project.root / MARK).unlink()
    with pytest.raises(EdgemlError, match="something else"):
        _project(tmp_path / "edgeml-demo", FAST)
    assert (project.root / "edgeml.toml").exists()


def test_what_an_earlier_demo_left_is_removed(tmp_path: Path) -> None:
    project = _project(tmp_path / "edgeml-demo", FAST)
    (project.root / "report.html").write_text("old")
    assert not (_project(tmp_path / "edgeml-demo", FAST).root / "report.html").exists()


def test_a_demo_that_still_runs_is_not_pulled_away(tmp_path: Path) -> None:
    project = _project(tmp_path / "edgeml-demo", FAST)
    running = Running(page_url="", server_url="", broker_host="", broker_port=1, pid=os.getpid())
    announce(project, msgspec.structs.replace(running, page_url="http://127.0.0.1:1/"))
    with pytest.raises(EdgemlError, match="still runs"):
        _project(project.root, FAST)
