"""The world corrupts as a lens does, shows each image once per scene, and tells right from wrong."""

from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from edgeml.demo.world import Shown, World, corrupt
from edgeml_targets.contract.errors import EdgemlError

LIMIT_S = 20.0


def pictures(count: int) -> np.ndarray:
    """Images whose mean grey is their class, (count, 8, 8, 1), with a bright square."""
    images = np.zeros((count, 8, 8, 1), np.uint8)
    images[:, 2:6, 2:6] = (np.arange(count) % 10)[:, None, None, None] * 20 + 40
    return images


def test_level_0_changes_nothing_and_more_takes_away_more_contrast() -> None:
    images = pictures(20)
    assert (corrupt(images, 0.0, 0) == images).all()
    mild, strong = (corrupt(images, level, 0).astype(float) for level in (0.1, 0.6))
    inside, outside = np.s_[:, 3:5, 3:5], np.s_[:, :1]
    contrast = [abs(x[inside].mean() - x[outside].mean()) for x in (images.astype(float), mild, strong)]
    assert contrast[0] > contrast[1] > contrast[2]


def test_the_same_seed_gives_the_same_corruption() -> None:
    images = pictures(5)
    assert (corrupt(images, 0.3, 7) == corrupt(images, 0.3, 7)).all()
    assert (corrupt(images, 0.3, 7) != corrupt(images, 0.3, 8)).any()


class Reader(http.server.BaseHTTPRequestHandler):
    """Answers as an agent does: the class is what the square's grey says; it counts what it was asked."""

    asked = 0
    refuses = False

    def do_POST(self) -> None:
        images = np.load(io.BytesIO(self.rfile.read(int(self.headers["Content-Length"]))))
        type(self).asked += len(images)
        classes = (images[:, 3, 3, 0].astype(int) - 40) // 20
        content = json.dumps({"answers": [{"class": int(c)} for c in classes], "release": "r1"}).encode()
        self.send_response(500 if self.refuses else 200)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def agents() -> Iterator[list[str]]:
    Reader.asked, Reader.refuses = 0, False
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Reader) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [f"http://127.0.0.1:{server.server_address[1]}" for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


def test_each_image_is_tallied_once_however_long_the_scene_lasts(agents: list[str]) -> None:
    images = pictures(50)
    labels = np.arange(50) % 10
    labels[:5] = 9 - labels[:5]  # five labels say something else
    with World(agents, pause_s=0.0) as world:
        world.show(Shown(images, labels.astype(np.int64)))
        tally = world.tally(50, limit_s=LIMIT_S)
        world.show(Shown(images[:10], (np.arange(10) % 10).astype(np.int64)))
        second = world.tally(10, limit_s=LIMIT_S)
    assert (tally.answers, tally.right, tally.by_release) == (50, 45, {"r1": 50})
    assert sorted(i for asked in tally.asked.values() for i in asked) == list(range(50))
    assert (second.answers, second.right) == (10, 10)
    assert Reader.asked > 60


def test_an_agent_that_refuses_ends_the_scene_with_its_reason(agents: list[str]) -> None:
    Reader.refuses = True
    with World(agents, pause_s=0.0) as world:
        world.show(Shown(pictures(10), np.zeros(10, np.int64)))
        with pytest.raises(EdgemlError, match="status 500"):
            world.tally(10, limit_s=LIMIT_S)
