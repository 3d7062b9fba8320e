from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgeml.project import Project
from edgeml.workspace import publish, scratch
from edgeml_targets.contract.errors import EdgemlError

CRITERIA = "".join(
    f'[success.{level}]\nmetric = "x"\nthreshold = 0.5\nrisk = "y"\n' for level in ("business", "ml", "economic")
)
PRIVATE = ["unshare", "--mount", "--map-root-user"]


def test_a_folder_is_whole_under_its_name_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch(tmp_path / "kind") as folder:
        (folder / "file").write_text("half")
        raise ZeroDivisionError
    assert list((tmp_path / "kind").iterdir()) == []
    with scratch(tmp_path / "kind") as folder:
        (folder / "file").write_text("whole")
        final = publish(folder, "name")
    assert final == tmp_path / "kind" / "name" and (final / "file").read_text() == "whole"


def test_a_folder_that_is_there_stays(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with scratch(tmp_path) as folder:
            (folder / "file").write_text(content)
            publish(folder, "name")
    assert (tmp_path / "name" / "file").read_text() == "first"
    assert not [f for f in tmp_path.iterdir() if f.name.startswith(".new-")]


def test_what_a_killed_process_left_is_removed_and_what_a_live_one_builds_is_not(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(30)
    for owner in (gone.pid, os.getpid()):
        (tmp_path / f".new-{owner}-x").mkdir()
    with scratch(tmp_path):
        pass
    assert [f.name for f in tmp_path.iterdir()] == [f".new-{os.getpid()}-x"]


def test_git_does_not_see_the_workspace(project: Project) -> None:
    from edgeml.data import prepare

    prepare(project)
    assert (project.workspace / ".gitignore").read_text() == "*\n"


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgemlError, match="file/kind: cannot be written"), scratch(tmp_path / "file" / "kind"):
        pass


def run_in_private(root: Path, mount: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run edgeml in the project with something mounted that only this process sees; skip where that is not allowed."""
    if not shutil.which("unshare") or subprocess.run([*PRIVATE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no private mount namespace: unshare is missing or not allowed here")
    edgeml = f"{sys.executable} -m edgeml {' '.join(command)}"
    inside = f"set -e; cd {root}; {mount}; set +e; {edgeml}; status=$?; find .edgeml -type f > left; exit $status"
    return subprocess.run([*PRIVATE, "sh", "-c", inside], capture_output=True, text=True, check=False, timeout=120)


def assert_told_once(done: subprocess.CompletedProcess[str], reason: str) -> None:
    assert done.returncode == 2 and done.stdout == "", done
    errors = [line for line in done.stderr.splitlines() if "[ok]" not in line and "✓" not in line]
    assert len(errors) == 1 and errors[0].startswith("error: ") and reason in errors[0], done.stderr


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(project: Project) -> None:
    project.workspace.mkdir()
    done = run_in_private(project.root, "mount -t tmpfs -o size=24k tmpfs .edgeml", "data", "check")
    assert_told_once(done, "No space left on device; free some space")
    assert (project.root / "left").read_text() == "" and not project.ledger.parent.exists()


def test_a_read_only_workspace_is_told_in_one_line(project: Project) -> None:
    project.workspace.mkdir()
    mount = "mount --bind .edgeml .edgeml; mount -o remount,bind,ro .edgeml"
    done = run_in_private(project.root, mount, "data", "check")
    assert_told_once(done, "Read-only file system; make its folder writable")


def test_a_dataset_that_is_here_is_read_from_a_read_only_workspace(project: Project) -> None:
    from edgeml.data import prepare

    prepare(project)
    mount = "mount --bind .edgeml .edgeml; mount -o remount,bind,ro .edgeml"
    assert run_in_private(project.root, mount, "data", "check").returncode == 0


def test_a_disk_that_fills_while_training_is_told(project: Project) -> None:
    text = (project.root / "edgeml.toml").read_text()
    text = text.replace("[training]", "[training]\nepochs = 1") + CRITERIA
    (project.root / "edgeml.toml").write_text(text)
    project.workspace.mkdir()
    done = run_in_private(project.root, "mount -t tmpfs -o size=400k tmpfs .edgeml", "train")  # a checkpoint needs more
    assert_told_once(done, "No space left on device; free some space")
    left = (project.root / "left").read_text().splitlines()
    assert not [name for name in left if "models" in name or "checkpoints" in name], left
