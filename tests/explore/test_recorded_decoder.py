"""Recorded decoders give PyTorch's images, run by the page's own code in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentkit.explore import recorded_decoder
from latentkit.explore.recorded_decoder import UnknownOperationError, record_decoder

EXPLORE = Path(recorded_decoder.__file__).parent
HERE = Path(__file__).parent
CASES = run_path(str(HERE / "decoder_cases.py"))
ACTIVATIONS, FUNCTIONS, LAYERS = (CASES[name] for name in ("ACTIVATIONS", "FUNCTIONS", "LAYERS"))
grid, image, randomised = (CASES[name] for name in ("grid", "image", "randomised"))


class Page:
    """The page's decoder, in a Node process that stays."""

    def __init__(self, bundle: Path, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            ["node", str(HERE / "run_decoder.mjs"), str(bundle)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, program: Any, weights: np.ndarray, latents: np.ndarray, **more: Any) -> Any:
        (self.folder / "program.json").write_text(json.dumps(program))
        (self.folder / "images.bin").unlink(missing_ok=True)
        weights.astype(np.float32).tofile(self.folder / "weights.bin")
        latents.astype(np.float32).tofile(self.folder / "latents.bin")
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"folder": str(self.folder), **more}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def decoded(self, program: Any, weights: np.ndarray, latents: np.ndarray, **more: Any) -> Any:
        answer = self.ask(program, weights, latents, **more)
        assert "error" not in answer, answer["error"]
        assert answer["self"] == 0  # the same latent gives the same bytes again
        found = np.fromfile(self.folder / "images.bin", np.float32)
        return found.reshape(len(latents), *answer["shape"])

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    folder = tmp_path_factory.mktemp("decoder")
    bundle = EXPLORE / "explorer.js"
    esbuild = EXPLORE / "frontend" / "node_modules" / ".bin" / "esbuild"
    if esbuild.exists():
        bundle = folder / "decoder.js"
        entry = EXPLORE / "frontend" / "src" / "decoder" / "index.ts"
        command = [esbuild, entry, "--bundle", "--format=iife", f"--outfile={bundle}"]
        subprocess.run(
            [*map(str, command), "--global-name=latentkitExplorer", "--log-level=error"], check=True
        )
    elif not bundle.exists() or "createDecoder:" not in bundle.read_text(encoding="utf-8"):
        pytest.skip("esbuild is not installed, and explorer.js does not offer its decoder")
    found = Page(bundle, folder)
    yield found
    found.close()


def check(
    page: Page, decode: Callable[[Tensor], Tensor], dim: int, most: float = 1e-4, **more: Any
) -> Any:
    recorded = record_decoder(decode, dim)
    latents = torch.randn(3, dim, generator=torch.Generator().manual_seed(7)) * 1.5
    with torch.no_grad():
        expected = torch.cat([decode(one[None].clone()) for one in latents]).float().numpy()
    found = page.decoded(recorded.program, recorded.weights, latents.numpy(), **more)
    assert found.shape == expected.shape
    assert np.isfinite(expected).all()
    assert np.abs(found - expected).max() <= most
    return recorded


def built(name: str, shape: tuple[int, int, int], **options: Any) -> Any:
    from latentkit.builtins.models.plugin import latentkit_models

    spec = next(one for one in latentkit_models() if one.name == name)
    (module, build), (place, choices) = spec.target.split(":"), spec.options.split(":")
    torch.manual_seed(0)
    chosen = getattr(import_module(place), choices)(**options)
    return randomised(getattr(import_module(module), build)(chosen, shape))


BUILT_IN: list[tuple[str, tuple[int, int, int], dict[str, Any]]] = [
    *[
        (name, (1, 28, 28), {})
        for name in ("conv-ae", "dense-ae", "conv-vae", "dense-vae", "vq-vae", "fsq-vae")
    ],
    ("conv-ae", (3, 64, 64), {}),
    ("conv-vae", (3, 33, 47), {"norm": "group", "activation": "silu"}),
    *[
        ("conv-ae", (1, 21, 27), {"upsampling": how, "channels": (8, 12), "odd_sizes": odd})
        for how in ("transpose", "transpose-4", "resize", "pixel-shuffle")
        for odd in ("up", "down")
    ],
    *[
        (
            "conv-ae",
            (2, 16, 16),
            {"activation": act, "norm": norm, "blocks": 1, "channels": (16,), "patch": 1},
        )
        for act, norm in (("relu", "none"), ("leaky-relu", "group"), ("tanh", "batch"))
    ],
    ("dense-vae", (1, 9, 7), {"norm": "group", "activation": "gelu", "hidden": ()}),
    ("dense-ae", (1, 9, 7), {"norm": "group", "activation": "leaky-relu", "hidden": (20, 10)}),
    ("dense-ae", (1, 9, 7), {"norm": "none", "activation": "silu", "hidden": (20,)}),
    *[
        ("conv-vae", (1, 12, 12), {"likelihood": likelihood})
        for likelihood in ("bernoulli", "continuous-bernoulli", "gaussian")
    ],
]


@pytest.mark.parametrize(("name", "shape", "options"), BUILT_IN)
def test_built_in_models_decode_as_in_pytorch(
    page: Page, name: str, shape: tuple[int, int, int], options: dict[str, Any]
) -> None:
    model = built(name, shape, **options)
    check(page, model.decode, model.latent_dim)


def test_norms_and_copies_are_folded_into_the_products(page: Page) -> None:
    model = built("conv-vae", (1, 28, 28))
    steps = check(page, model.decode, model.latent_dim).program["steps"]
    assert [one["op"] for one in steps] == ["matmul"] * 4 + ["map"]
    assert [one["f"] for one in steps] == ["relu"] * 3 + ["none", "sigmoid"]


def test_without_webassembly_the_images_are_the_same(page: Page) -> None:
    model = built("conv-ae", (1, 28, 28))
    check(page, model.decode, model.latent_dim, plain=True)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_other_decoders_give_pytorchs_images(page: Page, name: str) -> None:
    check(page, LAYERS[name](), 12)


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=str)
def test_every_activation_gives_pytorchs_images(page: Page, layer: nn.Module) -> None:
    check(page, lambda z: layer(grid(z)), 12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_tensor_functions_give_pytorchs_images(page: Page, name: str) -> None:
    check(page, FUNCTIONS[name], 12)


REFUSED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "sorts": (lambda z: image(z.sort(1).values), "aten.sort"),
    "branches": (lambda z: image(z if z.sum() > 0 else -z), "_local_scalar_dense"),
    "converts": (lambda z: image(z * torch.from_numpy(z.numpy() * 2)), "depends on the latent's"),
    "selects": (lambda z: image(z[z > 0][None]), "depends on the latent"),
    "draws": (lambda z: image(z + torch.randn(12)), "random numbers"),
    "half": (lambda z: image(z.half()), "float16"),
    "complex": (lambda z: image(torch.fft.ifft(z).real), "pages lack"),
    "constant": (lambda z: torch.ones(1, 1, 2, 2), "does not depend"),
    "no image": (lambda z: z, "no image"),
    "own error": (lambda z: image(z @ torch.ones(5)), "could not be recorded"),
    "large integers": (lambda z: image(z * torch.arange(2**40, 2**40 + 12)), "integers beyond"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_run_in_a_page_is_refused_by_name(name: str) -> None:
    decode, reason = REFUSED[name]
    with pytest.raises(UnknownOperationError, match=reason):
        record_decoder(decode, 12)


def test_a_recording_leaves_the_model_as_it_was() -> None:
    model = built("conv-ae", (1, 28, 28))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (record_decoder(model.decode, model.latent_dim) for _ in range(2))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert first.program == second.program
    assert first.weights.tobytes() == second.weights.tobytes()


def test_a_recording_does_not_import_the_compiler() -> None:
    code = (
        "import sys, torch; from torch import nn\n"
        "from latentkit.explore.recorded_decoder import record_decoder\n"
        "layers = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Unflatten(1, (1, 4, 4)),\n"
        "    nn.GroupNorm(1, 1), nn.Upsample(scale_factor=2, mode='bilinear')).eval()\n"
        "record_decoder(layers, 4)\n"
        "assert not {'torch._dynamo', 'sympy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_many_weights_are_stored_as_float16_unless_that_shows(page: Page) -> None:
    torch.manual_seed(0)
    layers = randomised(
        nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 100), nn.Sigmoid())
    )

    def decode(z: Tensor) -> Tensor:
        return layers(z).reshape(-1, 1, 10, 10)

    assert record_decoder(decode, 8).weights.dtype == np.float32
    halved = record_decoder(decode, 8, most_float32=100)
    assert halved.weights.dtype == np.float16
    latents = torch.randn(3, 8)
    found = page.decoded(halved.program, halved.weights, latents.numpy())
    with torch.no_grad():
        assert np.abs(found - decode(latents).numpy()).max() <= 1 / 255
        layers[2].weight *= 1000
    assert record_decoder(decode, 8, most_float32=100).weights.dtype == np.float32


def simple() -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Linear(4, 32), nn.ReLU(), nn.Unflatten(1, (2, 4, 4)), nn.Conv2d(2, 3, 3, padding=1)
    )
    codes = torch.randn(9, 4)
    recorded = record_decoder(
        lambda z: layers(F.softplus(z) + codes[(z[:, 0] > 0).long()]).softmax(1), 4
    )
    return recorded.program, recorded.weights, np.zeros((1, 4), np.float32)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every entry of a document."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(one, (*path, key))


def test_a_damaged_program_gives_one_clear_error_or_an_image(page: Page) -> None:
    program, weights, latents = simple()
    page.decoded(program, weights, latents)
    reasons = set()
    values = (-1, 10**9, 2**60, 0.5, None, "relu", [], {}, [[10**8] * 3])
    for number, path in enumerate(paths(program)):
        changed = json.loads(json.dumps(program))
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = values[number % len(values)]
        answer = page.ask(changed, weights, latents)
        if "error" in answer:
            reasons.add(answer["error"])
    assert len(reasons) > 10
    assert all(
        one.startswith(("ProgramError: The decoder", "RangeError: The decoder")) for one in reasons
    ), reasons


def test_weights_that_are_not_all_there_are_noticed(page: Page) -> None:
    program, weights, latents = simple()
    assert "weights instead of" in page.ask(program, weights[:-1], latents)["error"]
