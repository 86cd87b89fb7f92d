"""A plugin for tests: encoders without a decoder, sound ones and ones with a fault.

Use it as ``--plugin tests/own_encoders.py``. All are small and linear.
"""

import os

from pydantic import Field

from latentkit.plugin import ModelSpec, Options, hookimpl, needs_own_weights

LATENTKIT_HOOKSPEC_VERSION = 1

FROZEN = {"own-frozen", "own-nan", "own-without-weights", "own-grey"}
BUILT = {
    "own-views": "Views",
    "own-teacher": "Teacher",
    "own-frozen": "Frozen",
    "own-collapsed": "Collapsed",
    "own-nan": "NotFinite",
    "own-without-weights": "WithoutWeights",
    "own-widths": "Widths",
    "own-head": "Headed",
    "own-pretext": "Pretext",
}


class EncoderOptions(Options):
    """Options of all encoders of this file."""

    latent_dim: int = Field(4, ge=1, le=64, description="Number of latent dimensions.")
    pretrained: bool = Field(True, description="Whether a frozen encoder loads its weights.")


@hookimpl
def latentkit_models():
    for name in BUILT:
        yield ModelSpec(
            name=name,
            summary="An encoder for tests",
            target=f"{__name__}:build_{name.replace('-', '_')}",
            options=f"{__name__}:EncoderOptions",
            tags={"encoder", *(["frozen"] if name in FROZEN else [])},
        )


def __getattr__(name):
    """Return the build function of a model, and import torch only then."""
    classes = {f"build_{key.replace('-', '_')}": made for key, made in BUILT.items()}
    if name not in classes:
        raise AttributeError(name)
    return lambda options, image_shape: _classes()[classes[name]](options, image_shape)


def _classes():
    import torch
    from torch import nn

    class Linear(nn.Module):
        def __init__(self, options, image_shape):
            super().__init__()
            channels, height, width = image_shape
            self.latent_dim = options.latent_dim
            self.layer = nn.Linear(channels * height * width, options.latent_dim)

        def encode(self, images):
            return self.layer(images.flatten(1))

    class Views(Linear):
        """VICReg (A. Bardes et al. 2022) on two noisy views, without an expander."""

        def loss(self, inputs, targets, *, step):
            one, other = (self.encode(targets + 0.1 * torch.randn_like(targets)) for _ in range(2))
            near = (one - other).square().mean()
            spread = sum(
                (1 - (z.var(0, correction=0) + 1e-4).sqrt()).relu().mean() for z in (one, other)
            )
            return {"loss": near + spread, "near": near.detach(), "spread": spread.detach()}

    class Teacher(Linear):
        """A student that follows a moving average of itself."""

        def __init__(self, options, image_shape):
            super().__init__(options, image_shape)
            self.teacher = nn.Linear(*reversed(self.layer.weight.shape)).requires_grad_(False)
            self.register_buffer("seen", torch.zeros(2, dtype=torch.int64))

        def loss(self, inputs, targets, *, step):
            seen = self.encode(targets + 0.1 * torch.randn_like(targets))
            with torch.no_grad():
                aim = self.teacher(targets.flatten(1))
            return {"loss": (seen - aim).square().mean()}

        def after_step(self, step, steps):
            assert not torch.is_grad_enabled()
            for mine, given in zip(self.teacher.parameters(), self.layer.parameters(), strict=True):
                mine.lerp_(given, 0.5 * (1 - step / steps))
            self.seen.copy_(torch.tensor([step + 1, steps]))

    class Frozen(Linear):
        def __init__(self, options, image_shape):
            super().__init__(options, image_shape)
            self.pretrained = options.pretrained
            if options.pretrained and needs_own_weights():
                assert "OWN_WEIGHTS_ARE_GONE" not in os.environ
                size = self.layer.weight.numel()
                with torch.no_grad():
                    self.layer.weight.copy_(torch.arange(size).sin().view_as(self.layer.weight))
                    self.layer.bias.zero_()

    class Collapsed(Views):
        def encode(self, images):
            return 1 + 1e-4 * super().encode(images)

    class NotFinite(Linear):
        def encode(self, images):
            return super().encode(images) / 0

    class WithoutWeights(nn.Module):
        """The mean of each part of the image, which has nothing to train."""

        def __init__(self, options, image_shape):
            super().__init__()
            self.latent_dim = 4

        def encode(self, images):
            return nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 2).flatten(1)

    class Widths(Views):
        """Features whose width is the size of the batch."""

        def features(self, images):
            return self.encode(images)[:, :1].expand(-1, len(images))

    class Headed(Views):
        """Latents from a part with the name and the layers of a classifier's head."""

        def __init__(self, options, image_shape):
            super().__init__(options, image_shape)
            self.network = self.layer
            self.layer = nn.Identity()
            widths = options.latent_dim, options.latent_dim
            self.head = nn.Sequential(nn.BatchNorm1d(widths[0]), nn.Identity(), nn.Linear(*widths))

        def encode(self, images):
            return self.head(self.network(images.flatten(1)))

    class Pretext(Views):
        """A part that only the loss uses, with the name and the layers of a classifier's head."""

        def __init__(self, options, image_shape):
            super().__init__(options, image_shape)
            self.head = nn.Sequential(nn.BatchNorm1d(4), nn.Identity(), nn.Linear(4, 10))

        def loss(self, inputs, targets, *, step):
            return {"loss": self.head(self.encode(targets)).square().mean()}

    return locals()
