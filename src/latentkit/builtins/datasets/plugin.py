"""The plugin that declares the built-in data sets."""

from collections.abc import Iterator

from latentkit.builtins.datasets.options import STEMS
from latentkit.plugin import DatasetSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_HERE = "latentkit.builtins.datasets"
_BUNDLED = frozenset({"bundled"})
_DOWNLOAD = frozenset({"download"})
_LOCAL = frozenset({"local"})


@hookimpl
def latentkit_datasets() -> Iterator[DatasetSpec]:
    """Offer the data sets."""
    yield DatasetSpec(
        name="digits",
        summary="1,797 handwritten digits, 8x8 grey, 10 classes; bundled with scikit-learn",
        target=f"{_HERE}.digits:load",
        tags=_BUNDLED,
    )
    yield DatasetSpec(
        name="sprites",
        summary="Squares, ellipses and hearts with known factors, 28x28 or 64x64 grey; generated",
        target=f"{_HERE}.sprites:load",
        options=f"{_HERE}.options:SpritesOptions",
        tags=_BUNDLED,
    )
    yield DatasetSpec(
        name="image-folder",
        summary="Your own image files of any kind, by class, by split or with a table of labels",
        target=f"{_HERE}.image_folder:load",
        plan=f"{_HERE}.image_folder:plan_folder",
        options=f"{_HERE}.options:ImageFolderOptions",
        tags=_LOCAL,
    )
    yield DatasetSpec(
        name="npz",
        summary="Your own arrays of any size: NumPy, HDF5 or Zarr",
        target=f"{_HERE}.npz:load",
        options=f"{_HERE}.options:NpzOptions",
        tags=_LOCAL,
    )
    yield from _downloads()


def _downloads() -> Iterator[DatasetSpec]:
    described = {
        "fashion-mnist": ("FashionMNIST", "70,000 photographs of clothing", 30),
        "mnist": ("MNIST", "70,000 handwritten digits", 12),
        "kmnist": ("KMNIST", "70,000 cursive Japanese characters", 21),
    }
    for name, (folder, what, megabytes) in described.items():
        yield DatasetSpec(
            name=name,
            summary=f"{what}, 28x28 grey, 10 classes; {megabytes} MB, downloaded once",
            target=f"{_HERE}.mnist_family:load_{name.replace('-', '_')}",
            options=f"{_HERE}.options:DownloadOptions",
            tags=_DOWNLOAD,
            # Either form is read: with .gz or unpacked.
            files=tuple(f"{folder}/raw/{stem}*" for stem in STEMS),
            megabytes=megabytes,
        )
    yield DatasetSpec(
        name="emnist",
        summary="Handwritten letters and digits, 28x28 grey, 10 to 62 classes; 536 MB, downloaded"
        " once",
        target=f"{_HERE}.mnist_family:load_emnist",
        options=f"{_HERE}.options:EmnistOptions",
        tags=_DOWNLOAD,
        files=("EMNIST/raw/gzip.zip",),
        megabytes=536,
    )
    yield DatasetSpec(
        name="cifar10",
        summary="60,000 photographs, 32x32 colour, 10 classes; 163 MB, downloaded once",
        target=f"{_HERE}.cifar10:load",
        options=f"{_HERE}.options:DownloadOptions",
        tags=_DOWNLOAD,
        files=("cifar-10-python.tar.gz",),
        megabytes=163,
    )
