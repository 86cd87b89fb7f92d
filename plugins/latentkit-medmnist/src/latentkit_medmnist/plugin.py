"""Declares the twelve data sets."""

from collections.abc import Iterator

from latentkit.plugin import DatasetSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_HERE = "latentkit_medmnist"
_SUMMARIES = {
    "pathmnist": "107,180 patches of colon tissue, colour, 9 classes",
    "chestmnist": "112,120 chest X-rays, grey, 14 findings",
    "dermamnist": "10,015 pigmented skin lesions, colour, 7 classes",
    "octmnist": "109,309 optical coherence tomographies of retinas, grey, 4 classes",
    "pneumoniamnist": "5,856 chest X-rays of children, grey, 2 classes",
    "retinamnist": "1,600 photographs of retinas, colour, 5 grades",
    "breastmnist": "780 ultrasound images of breasts, grey, 2 classes",
    "bloodmnist": "17,092 blood cells, colour, 8 classes",
    "tissuemnist": "236,386 cells of kidneys, grey, 8 classes",
    "organamnist": "58,830 abdominal CTs cut axially, grey, 11 organs",
    "organcmnist": "23,583 abdominal CTs cut coronally, grey, 11 organs",
    "organsmnist": "25,211 abdominal CTs cut sagittally, grey, 11 organs",
}


@hookimpl
def latentkit_datasets() -> Iterator[DatasetSpec]:
    """Offer the data sets."""
    for name, summary in _SUMMARIES.items():
        options = "ChestmnistOptions" if name == "chestmnist" else "MedmnistOptions"
        yield DatasetSpec(
            name=name,
            summary=f"{summary}, 28x28 to 224x224; downloaded once",
            target=f"{_HERE}.images:load_{name}",
            options=f"{_HERE}.options:{options}",
            tags=frozenset({"download"}),
        )
