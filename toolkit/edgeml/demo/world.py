"""The world that the demo's devices see: images that are sent to every agent, clean at first, then corrupted."""

from __future__ import annotations

import http.client
import io
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.errors import EdgemlError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

LEVEL: Final = 0.3
STACK: Final = 8  # images a request
REQUEST_TIMEOUT_S: Final = 30.0


def corrupt(images: Images, level: float, seed: int) -> Images:
    """Return images as a fogged, badly lit, noisy lens shows them: blur, then less contrast, then noise.

    Args:
        images: (samples, height, width, channels), 0 to 255.
        level: 0 changes nothing, 1 leaves little to see; the deviation of the blur is 4 pixels there.
        seed: Draws the noise.

    Source: the kinds and their order follow Hendrycks and Dietterich 2019, arXiv:1903.12261.
    """
    if level <= 0:
        return images.copy()
    values = _blur(images.astype(np.float32), 4.0 * level)
    grey = np.float32(128.0)
    values = grey + (values - grey) * np.float32(1.0 - 0.9 * level)
    values += np.random.default_rng(seed).normal(0, 110.0 * level, images.shape).astype(np.float32)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _blur(values: npt.NDArray[np.float32], deviation: float) -> npt.NDArray[np.float32]:
    reach = max(1, round(3 * deviation))
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / deviation))
    kernel = (kernel / kernel.sum()).astype(np.float32)
    for axis in (1, 2):
        padded = np.pad(values, [(reach, reach) if a == axis else (0, 0) for a in range(4)], mode="edge")
        length = values.shape[axis]
        values = sum(w * np.take(padded, range(i, i + length), axis=axis) for i, w in enumerate(kernel))
    return values


@dataclass(frozen=True)
class Shown:
    """What is shown: images with their true classes, each to one of the agents."""

    images: Images
    labels: Labels


@dataclass
class Tally:
    """What the agents answered to one scene, each image counted the first time it is shown.

    Args:
        right, answers: Answers that were right, of how many.
        by_release: Answers by the release that gave them.
        asked: For each agent, the indices of the images that it answered.
    """

    right: int = 0
    answers: int = 0
    by_release: dict[str, int] = field(default_factory=dict)
    asked: dict[int, list[int]] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The share of right answers, 0 to 1."""
        return self.right / max(self.answers, 1)


class World:
    """Shows a scene to all agents, over and over, until another is shown; a thread an agent.

    Args:
        urls: The agents' addresses.
        pause_s: Between two requests to one agent.
    """

    def __init__(self, urls: Sequence[str], *, pause_s: float) -> None:
        self._urls, self._pause_s, self._scene_pause_s = tuple(urls), pause_s, pause_s
        self._stop, self._changed = threading.Event(), threading.Condition()
        self._scene: Shown | None = None
        self._tally, self._turn = Tally(), 0
        self._fault: Exception | None = None
        self._threads = [threading.Thread(target=self._ask, args=(i,), daemon=True) for i in range(len(urls))]

    def __enter__(self) -> World:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(REQUEST_TIMEOUT_S)

    def show(self, scene: Shown, *, pause_s: float | None = None) -> None:
        """Show another scene, from its first image on, with a new tally; with another pause between requests where one is given."""
        with self._changed:
            self._scene, self._tally, self._turn = scene, Tally(), 0
            self._scene_pause_s = self._pause_s if pause_s is None else pause_s
            self._changed.notify_all()

    def tally(self, answers: int, *, limit_s: float) -> Tally:
        """Wait until the present scene has so many answers; return what was tallied.

        Raises:
            EdgemlError: An agent refused, or `limit_s` went by.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._fault or self._tally.answers >= answers, limit_s)
            if self._fault is not None:
                raise EdgemlError(
                    f"an agent does not answer: {self._fault}", where="the demo's world", mend="see the agents' logs"
                )
            if self._tally.answers < answers:
                raise EdgemlError(
                    f"{self._tally.answers} of {answers} answers within {limit_s:g} s",
                    where="the demo's world",
                    mend="see the agents' logs",
                )
            return self._tally

    def _next(self) -> tuple[Shown, npt.NDArray[np.int64], bool] | None:
        """Return the next images to show, and whether they are shown for the first time."""
        with self._changed:
            self._changed.wait_for(lambda: self._scene is not None or self._stop.is_set())
            if self._scene is None or self._stop.is_set():
                return None
            count, begin = len(self._scene.images), self._turn
            self._turn += STACK
            first_time = begin < count
            taken = np.arange(begin, min(begin + STACK, count) if first_time else begin + STACK) % count
            return self._scene, taken, first_time

    def _ask(self, agent: int) -> None:
        address = urlsplit(self._urls[agent])
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=REQUEST_TIMEOUT_S)
        try:
            while not self._stop.is_set() and (job := self._next()) is not None:
                scene, taken, first_time = job
                answered, release = _post(connection, scene.images[taken])
                if first_time:
                    self._count(agent, scene, taken, answered, release)
                self._stop.wait(self._scene_pause_s)
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            with self._changed:
                self._fault = error
                self._changed.notify_all()
        finally:
            connection.close()

    def _count(
        self, agent: int, scene: Shown, taken: npt.NDArray[np.int64], answered: npt.NDArray[np.int64], release: str
    ) -> None:
        with self._changed:
            if scene is not self._scene:
                return  # another scene began while this one was answered
            self._tally.right += int((answered == scene.labels[taken]).sum())
            self._tally.answers += len(taken)
            self._tally.by_release[release] = self._tally.by_release.get(release, 0) + len(taken)
            self._tally.asked.setdefault(agent, []).extend(int(i) for i in taken)
            self._changed.notify_all()


def _post(connection: http.client.HTTPConnection, images: Images) -> tuple[npt.NDArray[np.int64], str]:
    body = io.BytesIO()
    np.save(body, images)
    connection.request("POST", "/infer", body.getvalue(), {"Content-Type": "application/x-npy"})
    response = connection.getresponse()
    content = json.loads(response.read())
    if response.status != http.client.OK:
        raise ValueError(f"status {response.status}: {content}")
    return np.array([answer["class"] for answer in content["answers"]]), str(content["release"])
