"""Image sizes before and after strided convolutions."""

from __future__ import annotations

from typing import Literal

OddSizes = Literal["up", "down"]
KERNEL = 3
STRIDE = 2


def halved(size: int, odd_sizes: OddSizes) -> int:
    """Return the size after a 3-wide convolution of stride 2.

    Even sizes are halved. Odd sizes are halved and rounded up (padding 1) or down (padding 0, so
    the kernel never leaves the image): 28 -> 14 -> 7 -> 4 or 28 -> 14 -> 7 -> 3. An odd size below
    3 is always rounded up.
    """
    padding = halving_padding(size, odd_sizes)
    return (size + 2 * padding - KERNEL) // STRIDE + 1


def halving_padding(size: int, odd_sizes: OddSizes) -> int:
    """Return the padding that `halved` assumes: 0 or 1."""
    return 0 if odd_sizes == "down" and size % 2 and size >= KERNEL else 1


def size_pyramid(
    height: int, width: int, levels: int, odd_sizes: OddSizes
) -> list[tuple[int, int]]:
    """Return height and width before and after each of ``levels`` halvings (levels + 1 pairs).

    Raises:
        ValueError: the image is already a single pixel before the last level.
    """
    sizes = [(height, width)]
    for level in range(levels):
        if max(sizes[-1]) == 1:
            raise ValueError(
                f"images of {height}x{width} cannot be halved {levels} times: "
                f"give at most {level} entries in channels"
            )
        sizes.append((halved(sizes[-1][0], odd_sizes), halved(sizes[-1][1], odd_sizes)))
    return sizes
