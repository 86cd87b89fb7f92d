"""Configuration of a run: from TOML and overrides to a validated `RunConfig`.

The file has one table per part, which holds the part's name and its options side by side::

    seed = 0

    [model]
    name = "conv-ae"
    latent_dim = 3

    [dataset]
    name = "fashion-mnist"

    [[embedding]]
    name = "isomap"
    n_neighbors = 10

    [training]
    epochs = 10

Nothing here imports torch, so mistakes are reported before anything slow starts.
"""

from latentkit.config.build import (
    build_config,
    choose_map,
    choose_part,
    parse_override,
    parse_value,
    read_config_file,
)
from latentkit.config.options import (
    DEFAULT_DATASET,
    DEFAULT_MODEL,
    DEFAULT_TUNER,
    DEFAULT_VECTOR_MODEL,
    FITS,
    MODES,
    InitOptions,
    MapOptions,
    Mode,
    RunOptions,
    SplitOptions,
    TrainingOptions,
    TransferOptions,
    read_labels,
)
from latentkit.config.run_config import MapConfig, PartConfig, RunConfig
from latentkit.hashed_json import canonical_sha256

__all__ = [
    "DEFAULT_DATASET",
    "DEFAULT_MODEL",
    "DEFAULT_TUNER",
    "DEFAULT_VECTOR_MODEL",
    "FITS",
    "MODES",
    "InitOptions",
    "MapConfig",
    "MapOptions",
    "Mode",
    "PartConfig",
    "RunConfig",
    "RunOptions",
    "SplitOptions",
    "TrainingOptions",
    "TransferOptions",
    "build_config",
    "canonical_sha256",
    "choose_map",
    "choose_part",
    "parse_override",
    "parse_value",
    "read_config_file",
    "read_labels",
]
