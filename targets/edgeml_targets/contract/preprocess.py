"""From a raw sample to what the network is fed; the same code on the host and on a device, in numpy alone."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True):
    """How a raw sample becomes an input: resize, scale, subtract the mean, divide by the standard deviation, lay out.

    Args:
        kind: `image` takes uint8 pixels (height, width, channels); `array` takes numbers of the input's own shape.
        size: Height and width in pixels that an image is resized to; `None` leaves it.
        scale: What each value is multiplied with first; 1/255 brings pixels to 0 to 1.
        mean, std: One entry, or one a channel (an array: one an entry of its last axis); in scaled units.
        colour: Order and number of an image's channels.
        layout: Where an image's channels go: `chw` first, `hwc` last.
    """

    kind: Literal["array", "image"] = "array"
    size: tuple[int, int] | None = None
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    colour: Literal["rgb", "bgr", "grey"] = "rgb"
    layout: Literal["chw", "hwc"] = "chw"

    def __call__(self, sample: npt.NDArray[np.generic]) -> Floats:
        """Return one raw sample as float32, ready for the network, without a batch axis.

        An image that is float already was preprocessed by whoever sent it and is returned as it is.

        Raises:
            ValueError: An image is not (height, width, channels) with 1, 3 or 4 channels, or (height, width).
        """
        if self.kind == "image":
            if np.issubdtype(sample.dtype, np.floating):
                return np.asarray(sample, np.float32)
            sample = self.coloured(sample)
            if self.size is not None:
                sample = resize(sample, self.size)
        return self._normalised(sample)

    def stack(self, samples: npt.NDArray[np.generic]) -> Floats:
        """Return a stack of raw samples (samples, ...) as float32: to the bit what one call a sample gives.

        Images that have their size and colours already, as a dataset's have, are taken all at once.

        Raises:
            ValueError: See `__call__`.
        """
        if self.kind == "array" or np.issubdtype(samples.dtype, np.floating):
            return self._normalised(samples) if self.kind == "array" else np.asarray(samples, np.float32)
        as_it_is = self.colour != "bgr" and samples.shape[3:] == ((1,) if self.colour == "grey" else (3,))
        if as_it_is and self.size in (None, samples.shape[1:3]):
            return self._normalised(samples)
        return np.stack([self(sample) for sample in samples])

    def _normalised(self, values: npt.NDArray[np.generic]) -> Floats:
        scaled: Floats = np.asarray(values, np.float32) * np.float32(self.scale)
        ready: Floats = np.divide(scaled - np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32))
        if self.kind == "image" and self.layout == "chw":
            ready = np.ascontiguousarray(np.moveaxis(ready, -1, -3))
        return ready

    @property
    def smooth_axes(self) -> tuple[int, ...]:
        """The axes of a ready image along which neighbours resemble each other, counted from the last."""
        return (-2, -1) if self.layout == "chw" else (-3, -2)

    def coloured(self, image: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return an image (height, width) or (height, width, 1, 3 or 4) in this colour: (height, width, 1 or 3).

        Raises:
            ValueError: It has another shape.
        """
        if image.ndim == 2:
            image = image[..., None]
        if image.ndim != 3 or image.shape[-1] not in (1, 3, 4):
            raise ValueError(f"an image has shape (height, width, 1, 3 or 4 channels), not {image.shape}")
        channels = image[..., :3]
        if self.colour == "grey":
            if channels.shape[-1] == 1:
                return channels
            luma = channels @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
            return np.asarray(np.rint(luma)[..., None], image.dtype)
        if channels.shape[-1] == 1:
            channels = np.repeat(channels, 3, axis=-1)
        return np.asarray(channels[..., ::-1] if self.colour == "bgr" else channels)


def resize(image: npt.NDArray[np.generic], size: tuple[int, int]) -> Floats:
    """Return `image` (height, width, channels) at `size` (height, width), bilinear, half-pixel centres, averaging when shrinking.

    Shrinking averages all source pixels that a target pixel covers (a triangle of that width), so that nothing aliases.
    """
    if image.shape[:2] == size:
        return np.asarray(image, np.float32)
    rows, columns = (_weights(image.shape[axis], size[axis]) for axis in (0, 1))
    tall = np.tensordot(rows, np.asarray(image, np.float32), axes=(1, 0))
    return np.ascontiguousarray(np.moveaxis(np.tensordot(columns, tall, axes=(1, 1)), 0, 1))


def _weights(source: int, target: int) -> Floats:
    """Return a matrix (target, source) whose rows are the triangle filter's weights and sum to 1."""
    ratio = source / target
    centres = (np.arange(target) + 0.5) * ratio - 0.5
    distance = np.abs(centres[:, None] - np.arange(source)[None, :]) / max(ratio, 1.0)
    weights = np.maximum(0.0, 1.0 - distance)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)
