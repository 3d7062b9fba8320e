"""The systemd unit, judged by systemd itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeml.flash.unit import NAME, unit


@pytest.mark.parametrize("manager", ["--system", "--user"])
def test_systemd_takes_it(tmp_path: Path, manager: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing (apt install systemd): nobody judges the unit here")
    (tmp_path / "agent").write_text("#!/bin/sh\n")
    (tmp_path / "agent").chmod(0o755)
    (tmp_path / NAME).write_text(unit(str(tmp_path), root=manager == "--system"))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        ["systemd-analyze", "verify", manager, "--man=no", str(tmp_path / NAME)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    said = [line for line in done.stderr.splitlines() if NAME in line or str(tmp_path) in line]
    assert not said, done.stderr
    assert done.returncode == 0, done.stderr


def test_only_the_system_s_manager_builds_a_fence() -> None:
    assert "ReadWritePaths=/opt/cam\n" in unit("/opt/cam", root=True)
    assert "ProtectSystem" not in unit("/home/pi/edgeml", root=False)  # it needs user namespaces there
