"""Weights that no 16-bit sum overflows, so that CPUs without VNNI answer as those with it.

Without VNNI, x86 multiplies two neighbouring unsigned activations with two neighbouring signed weights and adds the
products in 16 bits (VPMADDUBSW), saturating: 255 * (w0 + w1) must stay within 32,767. Products of opposite sign cancel, so
only neighbours of one sign count. Seven bits for all weights see to it at the price of one bit everywhere; here a channel
gives up only as much as its own largest pair asks for.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def pairwise_limit(values: Floats, axis: int | None, *, highest: int, most: int) -> npt.NDArray[np.float64]:
    """Return the magnitude that integer `highest` must mean, so that no pair of one sign sums to more than `most` integers.

    Args:
        values: A weight of any shape.
        axis: Its channel axis; `None`: neighbours are unknown, and any two values count as a pair.
        highest: The highest integer of the weight's type, 127.
        most: The largest allowed sum of two neighbouring integers.

    Returns:
        One limit a channel, (channels,), or a scalar without an axis; at least the largest magnitude.

    Which values are neighbours depends on how a kernel packs them: along the input channels at one position (blocked
    layouts), or along the flattened window with the channels innermost (im2col). Both are kept within the limit.
    """
    if axis is None:
        largest = np.abs(np.asarray(values, np.float64)).max(initial=0.0)
        return np.asarray(max(largest, 2 * largest * highest / most))
    if values.size == 0:
        return np.zeros(values.shape[axis])
    rows = np.moveaxis(values, axis, 0)
    rows = rows.reshape(rows.shape[0], rows.shape[1] if rows.ndim > 1 else 1, -1)  # channel, input channel, position
    largest = np.abs(rows).max(axis=(1, 2), initial=0.0).astype(np.float64)
    pairs = [_largest_sum(rows)]
    if rows.shape[1] % 2:  # of an even number the flattened window has the same pairs
        pairs.append(_largest_sum(np.swapaxes(rows, 1, 2).reshape(rows.shape[0], -1, 1)))
    return np.asarray(np.maximum(largest, np.max([largest, *pairs], axis=0) * highest / most))


def _largest_sum(rows: Floats) -> npt.NDArray[np.float64]:
    """Return the largest magnitude of the sums of values 0 and 1, 2 and 3, ... of the middle axis, (channels,).

    Of two values of unlike sign, either is larger than the sum: the largest value stands for these.
    """
    even = rows.shape[1] // 2 * 2
    sums = np.add(rows[:, 0:even:2], rows[:, 1:even:2], dtype=np.float64)
    return np.asarray(np.abs(sums, out=sums).max(axis=(1, 2), initial=0.0))
