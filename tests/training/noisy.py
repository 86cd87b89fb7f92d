"""The corruption with which tests of training corrupt images."""

import torch


def noise(images, generator):
    """Return float images with Gaussian noise, kept in [0, 1]."""
    return (images + 0.3 * torch.empty_like(images).normal_(generator=generator)).clamp(0, 1)
