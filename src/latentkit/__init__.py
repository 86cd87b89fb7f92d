"""latentkit: learn, view and measure the latent spaces of images.

    import latentkit as lk

    run = lk.run(model="conv-ae", dataset="fashion-mnist", embed=["isomap"], epochs=10)
    run.latents("test"), run.coordinates("isomap"), run.evaluation, run.model, run.history

Every name here is imported on first use, so ``import latentkit`` is fast.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from latentkit._lazy import lazy_attributes
from latentkit._version import __version__

if TYPE_CHECKING:
    from latentkit.api import explore
    from latentkit.api.any_vectors import embed_vectors, map_quality
    from latentkit.api.building_blocks import dataset, embedding, model
    from latentkit.api.check_data import check_data
    from latentkit.api.commands import (
        compare,
        embed,
        evaluate,
        list_runs,
        resume,
        run,
        write_report,
    )
    from latentkit.api.commands import open_run as open  # noqa: A004
    from latentkit.api.encoder import LatentEncoder
    from latentkit.api.files import export, pack, unpack, write_page
    from latentkit.api.run_handle import Run
    from latentkit.api.transfer import transfer
    from latentkit.api.tune import Study, open_study, tune
    from latentkit.cli.study_display import progress
    from latentkit.plugin.images import ImageData

__all__ = [
    "ImageData",
    "LatentEncoder",
    "Run",
    "Study",
    "__version__",
    "check_data",
    "compare",
    "dataset",
    "embed",
    "embed_vectors",
    "embedding",
    "evaluate",
    "explore",
    "export",
    "list_runs",
    "map_quality",
    "model",
    "open",
    "open_study",
    "pack",
    "progress",
    "resume",
    "run",
    "transfer",
    "tune",
    "unpack",
    "write_page",
    "write_report",
]

__getattr__, __dir__ = lazy_attributes(
    __name__,
    {
        "ImageData": "latentkit.plugin.images",
        "LatentEncoder": "latentkit.api.encoder",
        "Run": "latentkit.api.run_handle",
        "Study": "latentkit.api.tune",
        "check_data": "latentkit.api.check_data",
        "compare": "latentkit.api.commands",
        "dataset": "latentkit.api.building_blocks",
        "embed": "latentkit.api.commands",
        "embed_vectors": "latentkit.api.any_vectors",
        "embedding": "latentkit.api.building_blocks",
        "evaluate": "latentkit.api.commands",
        "explore": "latentkit.api.explore:",
        "export": "latentkit.api.files",
        "list_runs": "latentkit.api.commands",
        "map_quality": "latentkit.api.any_vectors",
        "model": "latentkit.api.building_blocks",
        "open": "latentkit.api.commands:open_run",
        "open_study": "latentkit.api.tune",
        "pack": "latentkit.api.files",
        "progress": "latentkit.cli.study_display",
        "resume": "latentkit.api.commands",
        "run": "latentkit.api.commands",
        "transfer": "latentkit.api.transfer",
        "tune": "latentkit.api.tune",
        "unpack": "latentkit.api.files",
        "write_page": "latentkit.api.files",
        "write_report": "latentkit.api.commands",
    },
)


class _Package(ModuleType):
    """Keeps public names such as ``latentkit.tune`` when a folder of that name is imported.

    Python sets an imported submodule as an attribute of its package. That would replace the
    function ``lk.tune`` by the folder ``latentkit/tune`` as soon as anything in it is imported.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        is_folder = isinstance(value, ModuleType) and value.__name__ == f"{__name__}.{name}"
        if not (is_folder and name in __all__):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
