"""The five severities of the published benchmarks, as options of the corruptions.

`IMAGENET_C`: D. Hendrycks, T. Dietterich, ICLR 2019, for 224x224 pixels, from
``ImageNet-C/create_c/make_imagenet_c.py`` of github.com/hendrycks/robustness. ``corruptions.py`` of
github.com/google-research/mnist-c (N. Mu, J. Gilmer, arXiv:1906.02337) has the same numbers for
28x28 pixels. `CIFAR_10_C`: by the authors of ImageNet-C, for 32x32 pixels, from
``make_cifar_c.py`` in their repository.

Three of these corruptions are part of latentkit itself: ``gaussian-noise``, ``salt-and-pepper`` and
``blur``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Levels = tuple[Mapping[str, Any], ...]
"""The options of a corruption at severities 1 to 5."""


def _levels(name: str, *values: float) -> Levels:
    return tuple({name: value} for value in values)


def _photons(*counts: int) -> Levels:
    return _levels("std", *(count**-0.5 for count in counts))


def _trails(*pairs: tuple[int, float]) -> Levels:
    return tuple({"radius": radius, "sigma": sigma} for radius, sigma in pairs)


def _clouds(*pairs: tuple[float, float]) -> Levels:
    return tuple({"amount": amount, "decay": decay} for amount, decay in pairs)


def _lost(*kept: float) -> Levels:
    """Return levels by the lost share; the sources give the share that is kept."""
    return _levels("amount", *(round(1 - share, 4) for share in kept))


IMAGENET_C: Mapping[str, Levels] = {
    "gaussian-noise": _levels("std", 0.08, 0.12, 0.18, 0.26, 0.38),
    "shot-noise": _photons(60, 25, 12, 5, 3),
    "speckle-noise": _levels("std", 0.15, 0.2, 0.35, 0.45, 0.6),
    "salt-and-pepper": _levels("amount", 0.03, 0.06, 0.09, 0.17, 0.27),
    "blur": _levels("sigma", 1, 2, 3, 4, 6),
    "defocus-blur": _levels("radius", 3, 4, 6, 8, 10),
    "motion-blur": _trails((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    "fog": _clouds((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    "brightness": _levels("amount", 0.1, 0.2, 0.3, 0.4, 0.5),
    "contrast": _lost(0.4, 0.3, 0.2, 0.1, 0.05),
    "pixelate": _lost(0.6, 0.5, 0.4, 0.3, 0.25),
    "jpeg-compression": _lost(0.25, 0.18, 0.15, 0.10, 0.07),
}

CIFAR_10_C: Mapping[str, Levels] = {
    "gaussian-noise": _levels("std", 0.04, 0.06, 0.08, 0.09, 0.10),
    "shot-noise": _photons(500, 250, 100, 75, 50),
    "speckle-noise": _levels("std", 0.06, 0.1, 0.12, 0.16, 0.2),
    "salt-and-pepper": _levels("amount", 0.01, 0.02, 0.03, 0.05, 0.07),
    "blur": _levels("sigma", 0.4, 0.6, 0.7, 0.8, 1),
    "defocus-blur": _levels("radius", 0.3, 0.4, 0.5, 1, 1.5),
    "motion-blur": _trails((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    "fog": _clouds((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    "brightness": _levels("amount", 0.05, 0.1, 0.15, 0.2, 0.3),
    "contrast": _lost(0.75, 0.5, 0.4, 0.3, 0.15),
    "pixelate": _lost(0.95, 0.9, 0.85, 0.75, 0.65),
    "jpeg-compression": _lost(0.80, 0.65, 0.58, 0.50, 0.40),
}
