"""Decoders of many kinds of operations, for the tests of recorded decoders."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def randomised(model: Any) -> Any:
    """Set norms and zero weights as if they were trained."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in model.modules():
            if getattr(module, "running_var", None) is not None:
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
        for parameter in model.parameters():
            if parameter.dim() < 2 or not parameter.any():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def image(values: Tensor) -> Tensor:
    return values.reshape(len(values), 1, 1, -1)


def grid(z: Tensor, channels: int = 4, height: int = 3, width: int = 4) -> Tensor:
    """Return maps (B, C, H, W) made of twelve latents."""
    repeated = torch.cat([z * (1 + number / 7) for number in range(channels)], 1)
    return repeated.reshape(len(z), channels, height, width)


def layered(*layers: nn.Module) -> Callable[[Tensor], Tensor]:
    torch.manual_seed(3)
    model = randomised(nn.Sequential(*layers))
    return lambda z: model(grid(z))


LAYERS: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "inference mode": lambda: torch.inference_mode()(layered(nn.Conv2d(4, 2, 3), nn.ReLU(inplace=True))),
    "strided": lambda: layered(nn.Conv2d(4, 6, 3, stride=2, padding=1)),
    "dilated": lambda: layered(nn.Conv2d(4, 6, (2, 3), dilation=(2, 1), padding=(1, 2))),
    "grouped": lambda: layered(nn.Conv2d(4, 8, 3, groups=2, padding=1), nn.ReLU()),
    "depthwise": lambda: layered(nn.Conv2d(4, 4, 3, groups=4, padding=1, bias=False)),
    "same": lambda: layered(nn.Conv2d(4, 5, 3, padding="same")),
    "circular": lambda: layered(nn.Conv2d(4, 5, 3, padding=1, padding_mode="circular")),
    "reflect": lambda: layered(nn.Conv2d(4, 5, 3, padding=1, padding_mode="reflect")),
    "transposed": lambda: layered(
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), nn.BatchNorm2d(6)
    ),
    "transposed apart": lambda: layered(nn.ConvTranspose2d(4, 6, 2, stride=2), nn.ReLU()),
    "transposed gaps": lambda: layered(nn.ConvTranspose2d(4, 6, 2, stride=3)),
    "transposed groups": lambda: layered(
        nn.ConvTranspose2d(4, 6, (3, 2), stride=(1, 2), groups=2, dilation=(2, 1), padding=(1, 0))
    ),
    "three dimensions": lambda: (
        lambda layer: lambda z: layer(grid(z)[:, None])[:, 0]
    )(randomised(nn.Conv3d(1, 2, 3, padding=1))),
    "one dimension": lambda: (
        lambda layer, other: lambda z: image(other(layer(grid(z).flatten(2))))
    )(randomised(nn.Conv1d(4, 3, 3, padding=2)), randomised(nn.ConvTranspose1d(3, 2, 4, 2, 1))),
    "batch norm": lambda: layered(nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3)),
    "group norm": lambda: layered(nn.GroupNorm(2, 4), nn.Conv2d(4, 3, 1), nn.GroupNorm(3, 3)),
    "instance norm": lambda: layered(nn.InstanceNorm2d(4, affine=True)),
    "layer norm": lambda: layered(nn.LayerNorm([4, 3, 4]), nn.LayerNorm(4)),
    "rms norm": lambda: layered(nn.RMSNorm(4)),
    "local response": lambda: layered(nn.LocalResponseNorm(2)),
    "pixel shuffle": lambda: layered(
        nn.Conv2d(4, 8, 3, padding=1), nn.PixelShuffle(2), nn.ReLU(), nn.Conv2d(2, 3, 3, padding=1)
    ),
    "pixel unshuffle": lambda: layered(nn.ZeroPad2d((0, 0, 1, 0)), nn.PixelUnshuffle(2)),
    "nearest": lambda: layered(nn.Upsample(scale_factor=2), nn.Conv2d(4, 3, 3, padding=1)),
    "nearest size": lambda: layered(nn.Upsample(size=(7, 5))),
    "nearest exact": lambda: layered(nn.Upsample(size=(7, 5), mode="nearest-exact")),
    "bilinear": lambda: layered(nn.Upsample(size=(7, 9), mode="bilinear")),
    "bilinear corners": lambda: layered(
        nn.Upsample(scale_factor=3, mode="bilinear", align_corners=True)
    ),
    "bicubic": lambda: layered(nn.Upsample(size=(7, 9), mode="bicubic")),
    "antialias": lambda: lambda z: F.interpolate(grid(z), (2, 3), mode="bicubic", antialias=True),
    "trilinear": lambda: lambda z: F.interpolate(
        grid(z)[:, None], (3, 5, 7), mode="trilinear"
    )[:, 0],
    "linear": lambda: lambda z: F.interpolate(grid(z).flatten(2), 9, mode="linear")[:, None],
    "pads": lambda: layered(
        nn.ReflectionPad2d(1), nn.ReplicationPad2d((1, 0, 2, 1)), nn.ConstantPad2d((1, -1, 0, 2), 0.5)
    ),
    "average pool": lambda: layered(nn.AvgPool2d(2), nn.AdaptiveAvgPool2d((2, 3))),
    "average pool padded": lambda: layered(nn.AvgPool2d(3, 2, 1)),
    "max pool": lambda: layered(nn.MaxPool2d(3, 2, 1), nn.AdaptiveMaxPool2d(1)),
    "attention": lambda: (
        lambda layer: lambda z: image(layer(grid(z).flatten(2))[0])
    )(_Attention()),
    "transformer": lambda: (
        lambda layer: lambda z: image(layer(z.reshape(-1, 3, 4)))
    )(randomised(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, activation="gelu"))),
    "bilinear layer": lambda: (lambda layer: lambda z: image(layer(z, z.flip(1))))(
        randomised(nn.Bilinear(12, 12, 5))
    ),
    "embedding": lambda: (
        lambda layer: lambda z: image(layer((z * 2).round().clamp(-3, 3).long() + 3))
    )(nn.Embedding(7, 3)),
    "gru": lambda: (lambda layer: lambda z: image(layer(z.reshape(-1, 3, 4))[0]))(
        randomised(nn.GRU(4, 5, batch_first=True))
    ),
    "codebook": lambda: (
        lambda codes: lambda z: image(codes[torch.cdist(z.reshape(-1, 6, 2), codes[None]).argmin(2)])
    )(torch.randn(5, 2)),
    "weight norm": lambda: layered(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 3, 3, padding=1))
    ),
    "spectral norm": lambda: layered(
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 3, 3, padding=1))
    ),
    "channels last": lambda: lambda z: F.relu_(
        (z * 2).view(-1, 3, 4, 1).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    ).flatten(1).reshape(-1, 2, 3, 2),
    "modulated": lambda: (
        lambda weight: lambda z: F.conv2d(
            grid(z), weight * (1 + z[0, :4].reshape(1, 4, 1, 1)), padding=1
        )
    )(torch.randn(3, 4, 3, 3)),
    "grid sample": lambda: (
        lambda where: lambda z: F.grid_sample(grid(z), where, align_corners=False)
    )(torch.rand(1, 5, 6, 2) * 2 - 1),
}  # fmt: skip


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.MultiheadAttention(12, 3, batch_first=True)
        self.eval()

    def forward(self, values: Tensor) -> Any:
        return self.layer(values, values, values)


ACTIVATIONS = [
    nn.CELU(0.7), nn.ELU(0.5), nn.GELU(), nn.GELU("tanh"), nn.GLU(1), nn.Hardshrink(), nn.Hardsigmoid(),
    nn.Hardswish(), nn.Hardtanh(-0.3, 0.8), nn.Identity(), nn.LeakyReLU(0.3), nn.LogSigmoid(), nn.LogSoftmax(1),
    nn.Mish(), nn.PReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.SELU(), nn.SiLU(inplace=True), nn.Sigmoid(),
    nn.Softmax(1), nn.Softmax2d(), nn.Softmin(1), nn.Softplus(2, 3), nn.Softshrink(), nn.Softsign(), nn.Tanh(),
    nn.Tanhshrink(), nn.Threshold(0.1, -2.0),
]  # fmt: skip


def _changed(z: Tensor) -> Tensor:
    values = grid(z).clone()
    values[:, :2] *= 2
    values[:, 1, 0] = values[:, 3, 1]
    values.mul_(0.5).add_(1)
    return values


def _assembled(z: Tensor) -> Tensor:
    canvas = torch.zeros(len(z), 2, 5, 6)
    canvas[:, :, 1:4, 1:5] = grid(z, 2)
    canvas[:, 0, 0] = 3
    return canvas


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "arithmetic": lambda z: image((z + 2) * (1 - z) / (z.abs() + 1) - z // 0.3 + z % 0.7 - 2 / (3 + z * z)),
    "powers": lambda z: image(z**2 + z.abs() ** 1.5 + 2**z + z.abs().sqrt() + (1 + z * z).rsqrt() + z**3),
    "exponentials": lambda z: image(
        z.exp() + z.expm1() + z.exp2() + (z.abs() + 1).log() + z.abs().log1p() + (1 + z * z).log2()
        + (1 + z * z).log10() + z.square()
    ),
    "trigonometry": lambda z: image(
        z.sin() + z.cos() + z.tanh() + z.atan() + z.sinh() * 0.1 + z.cosh() * 0.1 + z.asinh()
        + torch.atan2(z, z + 2) + (z * 0.1).asin() + (z * 0.1).acos() + (z * 0.1).atanh() + z.sinc()
    ),
    "error function": lambda z: image(torch.erf(z * 3) + torch.erfc(z) + torch.special.erf(z / 9)),
    "rounding": lambda z: image(
        (z * 2).round() + z.floor() + z.ceil() + z.trunc() + z.frac() + z.sign() + torch.round(z, decimals=1)
    ),
    "comparisons": lambda z: image(
        torch.where(z > 0.3, z, -z) + (z < 0).float() + (z.ge(0) & ~z.le(1)).float() + (z == z).to(z.dtype)
        + torch.logical_xor(z > 0, z > 1).float() + z.masked_fill(z < 0, 9.0) + z.isnan().float()
    ),
    "clamps": lambda z: image(
        z.clamp(-1, 0.5) + z.clamp(min=0) + z.clamp_max(0.2) + torch.maximum(z, z.flip(1)) + z.clamp(z - 1, z * 2)
        + torch.minimum(z, z.roll(2, 1))
    ),
    "reductions": lambda z: image(torch.cat([
        z.sum(1, keepdim=True), z.mean(1, keepdim=True), z.amax(1, keepdim=True), z.min(1, keepdim=True).values,
        z.var(1, keepdim=True), z.std(1, unbiased=False, keepdim=True), z.norm(dim=1, keepdim=True),
        z.prod(1, keepdim=True), z.logsumexp(1, keepdim=True), z.argmax(1, keepdim=True).float(),
        z.argmin(1, keepdim=True), (z > 1).any(1, keepdim=True), (z < 9).all(1, keepdim=True).float(),
        z.norm(1, dim=1, keepdim=True), z.sum()[None, None], z.max(1, keepdim=True)[1], z.abs().mean().reshape(1, 1),
    ], 1)),
    "reductions of maps": lambda z: grid(z) - grid(z).mean((2, 3), keepdim=True) + grid(z).sum(1, keepdim=True)
        + grid(z).amax((1, 3), keepdim=True) + F.normalize(grid(z), dim=1),
    "running sums": lambda z: image(z.cumsum(1) + (z * 0.5).cumprod(1)) + grid(z).cumsum(2).flatten(1)[:, None, None, :12],
    "joins": lambda z: torch.cat(
        [grid(z), torch.stack([z.reshape(-1, 3, 4), z.reshape(-1, 3, 4) * 2], 1), torch.ones(len(z), 1, 3, 4)], 1
    ),
    "splits": lambda z: torch.cat([one * (i + 1) for i, one in enumerate(grid(z).split([1, 3], 1)[::-1])], 1)
        + torch.cat(grid(z).chunk(2, 1), 1) + grid(z).unbind(1)[2][:, None],
    "views": lambda z: grid(z).transpose(1, 3)[:, ::2, 1:].flip(2).movedim(1, 2).unsqueeze(1).squeeze(1).narrow(1, 0, 2),
    "unfold": lambda z: image(z.unfold(1, 4, 2)) + image(torch.diagonal(z.reshape(-1, 3, 4), 0, 1, 2).sum(1, keepdim=True)),
    "fold": lambda z: F.fold(F.unfold(grid(z), 2), (3, 4), 2),
    "repeats": lambda z: grid(z).repeat(1, 2, 1, 3) + grid(z, 8).repeat_interleave(3, 3).tile(1, 1, 1, 1),
    "indexing": lambda z: grid(z)[:, [3, 0, 0]] + grid(z)[:, :3, torch.tensor([2, 0, 1])][:, :, :, [1, 1, 0, 3]],
    "gather": lambda z: image(
        z.gather(1, (z.abs() * 3).long().clamp(0, 11))
    ) + image(z[torch.zeros(1, dtype=torch.long)[:, None], (z.abs() * 2).long().clamp(max=11)]) + image(z.take((z > 0).long())),
    "scatter": lambda z: image(
        torch.zeros_like(z).scatter(1, (z.abs() * 3).long().clamp(0, 11), 2.5)
        + torch.zeros_like(z).scatter_add(1, (z.abs() * 3).long().clamp(0, 11), z)
    ),
    "changed in place": _changed,
    "assembled": _assembled,
    "matrices": lambda z: image(
        torch.einsum("bij,bkj->bik", z.reshape(-1, 3, 4), z.reshape(-1, 3, 4)).flatten(1)
        + (z.reshape(-1, 3, 4) @ torch.linspace(-1, 1, 12).reshape(4, 3)).flatten(1)
        + torch.baddbmm(z.reshape(-1, 4, 3)[:, :3], z.reshape(-1, 3, 4), z.reshape(-1, 4, 3), beta=0.5, alpha=2).flatten(1)
        + torch.outer(z[0, :3], z[0, :3]).flatten() + z[0] @ z[0] + torch.linspace(0, 1, 36).reshape(3, 12) .mv(z[0]).repeat(3)
    ),
    "double": lambda z: image((z.double() * 2).exp().float()),
    "meshgrid": lambda z: (z[:, :1, None, None] + torch.stack(torch.meshgrid(torch.arange(3.0), torch.arange(4.0), indexing="ij"))[None]).sin(),
    "triangle": lambda z: torch.tril(z.reshape(-1, 1, 3, 4)) + torch.triu(z.reshape(-1, 1, 3, 4), 1) * 2,
    "complex mixture": lambda z: torch.lerp(grid(z), grid(z).flip(3), 0.3) + torch.addcmul(grid(z), grid(z), grid(z), value=0.1)
        + torch.addcdiv(grid(z), grid(z), grid(z).abs() + 1) + torch.rsub(grid(z), 1.0) + torch.hypot(grid(z), grid(z) + 1),
}  # fmt: skip
