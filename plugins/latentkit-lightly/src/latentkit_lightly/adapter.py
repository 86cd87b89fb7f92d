"""`LightlyEncoder`, which gives the networks of lightly latentkit's methods."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from lightly.loss import (
    BarlowTwinsLoss,
    DINOLoss,
    NegativeCosineSimilarity,
    NTXentLoss,
    VICRegLoss,
)
from lightly.models.modules.heads import (
    BarlowTwinsProjectionHead,
    BYOLPredictionHead,
    BYOLProjectionHead,
    DINOProjectionHead,
    SimCLRProjectionHead,
)
from lightly.models.utils import update_momentum
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor, nn
from torch.nn import functional

from latentkit_lightly import options as o
from latentkit_lightly.residual_network import ResidualNetwork
from latentkit_lightly.views import random_view

Compare = Callable[[Tensor, Tensor], Tensor]


class LightlyEncoder(nn.Module, ABC):
    """An encoder that learns from two views of each image.

    The first view is of the network's input, the other of the target. They differ in more than the
    view if there is a corruption.

    Args:
        options: options of the method, without ``auto``.
        image_shape: C, H, W.
    """

    def __init__(self, options: o.ViewOptions, image_shape: o.ImageShape) -> None:
        super().__init__()
        self.options = options
        self.network = _network(options, image_shape)
        self.latent_dim = int(options.latent_dim)

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to latents (B, latent_dim)."""
        latents: Tensor = self.network(images)
        return latents

    def features(self, images: Tensor) -> Tensor:
        """Map images to what a linear layer turns into latents, (B, F)."""
        return self.network.quarters(images)

    def loss(self, inputs: Tensor, targets: Tensor, *, step: int) -> dict[str, Tensor]:
        """Return the loss of two random views; torch's global random state decides them."""
        if len(targets) == 1:  # the losses compare images of a batch: the image is its own other
            inputs, targets = inputs.expand(2, -1, -1, -1), targets.expand(2, -1, -1, -1)
        # In bfloat16, crops would be misplaced by up to a pixel.
        with torch.no_grad(), torch.autocast(inputs.device.type, enabled=False):
            views = random_view(inputs, self.options), random_view(targets, self.options)
        loss, projections = self.compare(*views)
        return {"loss": loss, "projection_spread": self.spread(projections.detach())}

    @abstractmethod
    def compare(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of two views (B, C, H, W) of the same images, and their projections."""

    def spread(self, projections: Tensor) -> Tensor:
        """Return how much projections (N, P) differ in direction, from 0 (all alike) to about 1.

        It is the deviation of unit vectors, times the root of P (X. Chen, K. He 2021).
        """
        unit = functional.normalize(projections, dim=1)
        return unit.std(0, correction=0).mean() * projections.shape[1] ** 0.5


class ProjectedEncoder(LightlyEncoder):
    """SimCLR, VICReg and Barlow Twins: a projector and a loss of two projections.

    Args:
        options: options of the method, without ``auto``.
        image_shape: C, H, W.
        projector: from latents to projections.
        criterion: loss of two batches of projections.
    """

    def __init__(
        self,
        options: o.ViewOptions,
        image_shape: o.ImageShape,
        projector: nn.Module,
        criterion: Compare,
    ) -> None:
        super().__init__(options, image_shape)
        self.projector = projector
        self.criterion = criterion

    def compare(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of the projections of two views, and the projections."""
        both = self.projector(self.network(torch.cat([one, other]))).float()
        first, second = both.chunk(2)
        return self.criterion(first, second), both


class VicregEncoder(ProjectedEncoder):
    """VICReg, whose loss aims at a deviation of 1 in each dimension of the projections."""

    def spread(self, projections: Tensor) -> Tensor:
        """Return the deviation of projections (N, P), averaged over their dimensions."""
        return projections.std(0, correction=0).mean()


class TaughtEncoder(LightlyEncoder):
    """BYOL and DINO: a student that follows a slower teacher, a moving average of the student.

    Args:
        options: options of the method, without ``auto``.
        image_shape: C, H, W.
        projector: returns a new projector.
    """

    def __init__(
        self,
        options: o.TeacherOptions,
        image_shape: o.ImageShape,
        projector: Callable[[], nn.Module],
    ) -> None:
        super().__init__(options, image_shape)
        self.momentum = options.momentum
        self.projector = projector()
        self.teacher = nn.Sequential(_network(options, image_shape), projector())
        self.teacher.load_state_dict(self._student().state_dict())
        self.teacher.requires_grad_(False)

    def _student(self) -> nn.Sequential:
        return nn.Sequential(self.network, self.projector)

    def after_step(self, step: int, steps: int) -> None:
        """Move the teacher towards the student, less and less so until the last step."""
        momentum = cosine_schedule(step, steps, self.momentum, 1.0)
        update_momentum(self._student(), self.teacher, momentum)


class ByolEncoder(TaughtEncoder):
    """BYOL: a predictor maps the student's projection to the teacher's, of another view."""

    def __init__(self, options: o.ByolOptions, image_shape: o.ImageShape) -> None:
        width, latents = options.projector, int(options.latent_dim)
        super().__init__(options, image_shape, lambda: BYOLProjectionHead(latents, width, latents))
        self.predictor = BYOLPredictionHead(latents, width, latents)
        self.criterion = NegativeCosineSimilarity()

    def compare(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return half the mean squared distance of unit vectors, from 0 to 2, and projections."""
        views = torch.cat([one, other])
        projections = self._student()(views)
        predicted = self.predictor(projections).float().chunk(2)
        with torch.no_grad():
            aims = self.teacher(views).float().chunk(2)
        crossed = self.criterion(predicted[0], aims[1]) + self.criterion(predicted[1], aims[0])
        return 1 + crossed / 2, projections.float()


class DinoEncoder(TaughtEncoder):
    """DINO: student and teacher sort two views into the same prototypes."""

    def __init__(self, options: o.DinoOptions, image_shape: o.ImageShape) -> None:
        super().__init__(options, image_shape, lambda: _dino_head(options))
        self.criterion = DINOLoss(
            output_dim=options.prototypes,
            teacher_temp=options.teacher_temperature,
            student_temp=options.student_temperature,
        )
        self.teacher_temperature = options.teacher_temperature

    def compare(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of the student's prototypes with the teacher's, and logits."""
        views = torch.cat([one, other])
        logits = self._student()(views).float()
        student = logits.chunk(2)
        with torch.no_grad():
            teacher = self.teacher(views).float().chunk(2)
        centre = self.criterion.center.clone()
        loss: Tensor = self.criterion(list(teacher), list(student), self.teacher_temperature)
        if not self.training:  # validation must not move it
            self.criterion.center.copy_(centre)
        return loss, logits


def _network(options: o.ViewOptions, image_shape: o.ImageShape) -> ResidualNetwork:
    assert options.patch != "auto" and options.channels != "auto"  # noqa: S101, PT018
    return ResidualNetwork(
        image_shape, options.patch, options.channels, options.blocks, int(options.latent_dim)
    )


def _dino_head(options: o.DinoOptions) -> nn.Module:
    with warnings.catch_warnings():  # lightly uses torch's former weight_norm
        warnings.simplefilter("ignore")
        return DINOProjectionHead(
            int(options.latent_dim),
            options.projector,
            bottleneck_dim=min(256, options.projector),
            output_dim=options.prototypes,
            batch_norm=True,
        )


def simclr(options: o.SimclrOptions, image_shape: o.ImageShape) -> LightlyEncoder:
    """Return SimCLR (T. Chen et al. 2020), with the projector of its second version."""
    latents, width = int(options.latent_dim), options.projector
    head = SimCLRProjectionHead(latents, width, min(128, width), num_layers=3)
    return ProjectedEncoder(options, image_shape, head, NTXentLoss(options.temperature))


def vicreg(options: o.VicregOptions, image_shape: o.ImageShape) -> LightlyEncoder:
    """Return VICReg (A. Bardes, J. Ponce, Y. LeCun 2022)."""
    width = options.projector
    head = BarlowTwinsProjectionHead(int(options.latent_dim), width, width)
    loss = VICRegLoss(options.invariance, options.variance, options.covariance)
    return VicregEncoder(options, image_shape, head, loss)


def barlow_twins(options: o.BarlowTwinsOptions, image_shape: o.ImageShape) -> LightlyEncoder:
    """Return Barlow Twins (J. Zbontar et al. 2021)."""
    width = options.projector
    head = BarlowTwinsProjectionHead(int(options.latent_dim), width, width)
    return ProjectedEncoder(options, image_shape, head, BarlowTwinsLoss(options.redundancy))
