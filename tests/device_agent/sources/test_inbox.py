"""The watched folder: each sample is answered once, whole, and never while it is still being copied."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeml_agent.messages import decode_up
from edgeml_agent.serving import Serving
from edgeml_agent.sources.inbox import Inbox
from edgeml_targets.contract.errors import EdgemlError

Npy = Callable[[np.ndarray], bytes]
Pixels = Callable[..., np.ndarray]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "inbox"


def counted(serving: Serving) -> tuple[int, int]:
    serving.close_window()
    window = decode_up(serving._outbox.after(0, most=100)[-1].payload, topic="edgeml/cam-1/up")
    return window.answers, window.errors


def read(path: Path) -> dict:
    return dict(json.loads(path.read_text()))


def test_a_sample_is_answered_beside_it_once(folder: Path, serving: Serving, npy: Npy, pixels: Pixels) -> None:
    inbox = Inbox(folder, serving)
    (folder / "part-7.npy").write_bytes(npy(pixels(1)[0]))
    for _ in range(5):
        inbox.look()
    answer = read(folder / "part-7.json")
    assert (len(answer["answers"]), answer["release"]) == (1, "r1")
    assert counted(serving) == (1, 0)
    assert sorted(p.name for p in folder.iterdir()) == ["part-7.json", "part-7.npy"]


def test_after_a_start_nothing_is_answered_again(folder: Path, serving: Serving, npy: Npy, pixels: Pixels) -> None:
    inbox = Inbox(folder, serving)
    (folder / "a.npy").write_bytes(npy(pixels(2)))
    inbox.look(), inbox.look()
    inode = (folder / "a.json").stat().st_ino
    later = Inbox(folder, serving)
    later.look(), later.look()
    assert (folder / "a.json").stat().st_ino == inode
    assert counted(serving) == (2, 0)


def test_a_sample_that_is_replaced_is_answered_anew(folder: Path, serving: Serving, npy: Npy, pixels: Pixels) -> None:
    inbox = Inbox(folder, serving)
    (folder / "a.npy").write_bytes(npy(pixels(1)))
    inbox.look(), inbox.look()
    (folder / "a.npy").write_bytes(npy(pixels(3)))
    os.utime(folder / "a.npy", ns=(1, 1))  # older than the answer: a clock may have been set back
    inbox.look(), inbox.look()
    assert len(read(folder / "a.json")["answers"]) == 3


def test_a_half_copied_file_is_left_until_it_is_whole(folder: Path, serving: Serving, npy: Npy, pixels: Pixels) -> None:
    inbox, whole = Inbox(folder, serving), npy(pixels(4))
    for size in range(100, len(whole), 700):
        (folder / "a.npy").write_bytes(whole[:size])
        inbox.look()
        assert not (folder / "a.json").exists()
    inbox.look(), inbox.look()  # the copy pauses: it cannot be read, and is given time
    assert not (folder / "a.json").exists()
    (folder / "a.npy").write_bytes(whole)
    inbox.look(), inbox.look()
    assert len(read(folder / "a.json")["answers"]) == 4
    assert counted(serving) == (4, 0)


def test_a_copy_that_paused_too_long_is_answered_right_in_the_end(
    folder: Path, serving: Serving, npy: Npy, pixels: Pixels
) -> None:
    inbox, whole = Inbox(folder, serving, patience_s=0.0), npy(pixels(4))
    (folder / "a.npy").write_bytes(whole[:500])
    inbox.look(), inbox.look()
    assert "bytes belong in it" in read(folder / "a.json")["error"]
    with (folder / "a.npy").open("ab") as file:
        file.write(whole[500:])
    inbox.look(), inbox.look()
    assert len(read(folder / "a.json")["answers"]) == 4


def test_a_malformed_sample_is_answered_with_one_error_and_counted_once(folder: Path, serving: Serving) -> None:
    inbox = Inbox(folder, serving, patience_s=0.0)
    (folder / "bad.npy").write_bytes(b"no array")
    for _ in range(4):
        inbox.look()
    assert read(folder / "bad.json")["error"].startswith("bad.npy: neither NPY nor PNG nor JPEG")
    assert counted(serving) == (0, 1)


def test_what_is_no_sample_is_let_be(folder: Path, serving: Serving, npy: Npy, pixels: Pixels, tmp_path: Path) -> None:
    inbox = Inbox(folder, serving)
    outside = tmp_path / "outside.npy"
    outside.write_bytes(npy(pixels(1)))
    (folder / "link.npy").symlink_to(outside)
    (folder / ".hidden.npy").write_bytes(npy(pixels(1)))
    (folder / "a.npy.part").write_bytes(npy(pixels(1)))
    (folder / "notes.txt").write_text("hello")
    (folder / "folder.npy").mkdir()
    there = sorted(folder.iterdir())
    for _ in range(3):
        inbox.look()
    assert sorted(folder.iterdir()) == there


def test_samples_that_share_a_name_have_an_answer_each(
    folder: Path, serving: Serving, npy: Npy, pixels: Pixels
) -> None:
    image_module = pytest.importorskip("PIL.Image")
    inbox = Inbox(folder, serving)
    (folder / "a.npy").write_bytes(npy(pixels(2)))
    image_module.fromarray(pixels(1)[0]).save(folder / "a.png")
    for _ in range(4):
        inbox.look()
    assert len(read(folder / "a.npy.json")["answers"]) == 2
    assert len(read(folder / "a.png.json")["answers"]) == 1
    assert counted(serving) == (3, 0)


def test_a_file_too_large_is_refused_unread(folder: Path, serving: Serving) -> None:
    inbox = Inbox(folder, serving, patience_s=0.0)
    with (folder / "huge.npy").open("wb") as file:
        file.truncate(1 << 40)
    inbox.look(), inbox.look()
    assert "more than" in read(folder / "huge.json")["error"]


def test_a_disk_that_refuses_an_answer_does_not_make_it_count_twice(
    folder: Path, serving: Serving, npy: Npy, pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox(folder, serving)
    (folder / "a.npy").write_bytes(npy(pixels(2)))
    inbox.look()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("edgeml_targets.contract.files.os.fsync", full)
        for _ in range(3):
            with pytest.raises(EdgemlError, match="No space left"):
                inbox.look()
    assert [p.name for p in folder.iterdir()] == ["a.npy"]
    inbox.look()
    assert len(read(folder / "a.json")["answers"]) == 2
    assert counted(serving) == (2, 0)
