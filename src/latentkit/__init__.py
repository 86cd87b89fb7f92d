"""latentkit: learn, view and measure the latent spaces of images.

    import latentkit as lk

    run = lk.run(model="conv-ae", dataset="fashion-mnist", embed=["isomap"], epochs=10)
    run.latents("test"), run.coordinates("isomap"), run.evaluation, run.model, run.history

Every name here is imported on first use, so ``import latentkit`` is fast.
"""

from typing import TYPE_CHECKING

from latentkit._lazy import lazy_attributes
from latentkit._version import __version__

if TYPE_CHECKING:
    from latentkit.api import explore
    from latentkit.api.encoder import LatentEncoder
    from latentkit.api.export import export
    from latentkit.api.handle import Run
    from latentkit.api.page import write_page
    from latentkit.api.parts import dataset, embedding, model
    from latentkit.api.runs import compare, list_runs
    from latentkit.api.runs import open_run as open  # noqa: A004
    from latentkit.api.study import Study, open_study
    from latentkit.api.transfer import transfer
    from latentkit.api.tune import tune
    from latentkit.api.vectors import embed_vectors
    from latentkit.api.work import embed, evaluate, resume, run, write_report
    from latentkit.cli.progress import progress
    from latentkit.plugin.images import ImageData

__all__ = [
    "ImageData",
    "LatentEncoder",
    "Run",
    "Study",
    "__version__",
    "compare",
    "dataset",
    "embed",
    "embed_vectors",
    "embedding",
    "evaluate",
    "explore",
    "export",
    "list_runs",
    "model",
    "open",
    "open_study",
    "progress",
    "resume",
    "run",
    "transfer",
    "tune",
    "write_page",
    "write_report",
]

__getattr__, __dir__ = lazy_attributes(
    __name__,
    {
        "ImageData": "latentkit.plugin.images",
        "LatentEncoder": "latentkit.api.encoder",
        "Run": "latentkit.api.handle",
        "Study": "latentkit.api.study",
        "compare": "latentkit.api.runs",
        "dataset": "latentkit.api.parts",
        "embed": "latentkit.api.work",
        "embed_vectors": "latentkit.api.vectors",
        "embedding": "latentkit.api.parts",
        "evaluate": "latentkit.api.work",
        "explore": "latentkit.api.explore:",
        "export": "latentkit.api.export",
        "list_runs": "latentkit.api.runs",
        "model": "latentkit.api.parts",
        "open": "latentkit.api.runs:open_run",
        "open_study": "latentkit.api.study",
        "progress": "latentkit.cli.progress",
        "resume": "latentkit.api.work",
        "run": "latentkit.api.work",
        "transfer": "latentkit.api.transfer",
        "tune": "latentkit.api.tune",
        "write_page": "latentkit.api.page",
        "write_report": "latentkit.api.work",
    },
)
