"""The kinds of run that exist, and the kind of a configuration or of an existing run."""

from __future__ import annotations

from pathlib import Path

from latentkit.config import RunConfig
from latentkit.runs.autoencoder_kind import AutoencoderKind
from latentkit.runs.folder import RunFolder
from latentkit.runs.kind import RunKind
from latentkit.transfer.transfer_kind import TransferKind
from latentkit.tune.study_folder import is_trial
from latentkit.tune.trial import TrialKind

AUTOENCODER, TRANSFER, TRIAL = AutoencoderKind(), TransferKind(), TrialKind()


def kind_of_config(config: RunConfig, path: Path | None = None) -> RunKind:
    """Return the kind of run that a configuration describes, in a folder if that is known."""
    if config.transfer is not None:
        return TRANSFER
    return TRIAL if path is not None and is_trial(path) else AUTOENCODER


def kind_of(folder: RunFolder) -> RunKind:
    """Return the kind of an existing run."""
    if "transfer" in folder.manifest.config:
        return TRANSFER
    return TRIAL if is_trial(folder.path) else AUTOENCODER
