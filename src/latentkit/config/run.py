"""A validated configuration, how it is written, and what it is known by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tomli_w

from latentkit.config.options import MapOptions, RunOptions, SplitOptions, TrainingOptions
from latentkit.config.transfer import InitOptions, TransferOptions
from latentkit.plugin.options import Options


@dataclass(frozen=True)
class PartConfig:
    """A part that was chosen, with validated options.

    Args:
        name: what finds it in the registry again, unambiguous at the time of writing.
        options: an instance of the part's own options class.
    """

    name: str
    options: Options

    @property
    def slug(self) -> str:
        """The name as it stands in file names."""
        return self.name.replace(":", ".")

    def as_dict(self) -> dict[str, Any]:
        """Return name and options as one TOML table."""
        return {"name": self.name, **self.options.model_dump(mode="json", exclude_none=True)}


@dataclass(frozen=True)
class MapConfig(PartConfig):
    """An embedding that was chosen, and what it shall map.

    Args:
        map: which latents, and over what they are laid.
    """

    map: MapOptions

    @property
    def label(self) -> str:
        """The name of the map: the embedding's, and which latents where not those of the test."""
        return self.name if self.map.on == "test" else f"{self.name}-{self.map.on}"

    @property
    def slug(self) -> str:
        """The label as it stands in file names."""
        return self.label.replace(":", ".")

    def as_dict(self) -> dict[str, Any]:
        """Return name, options and what is mapped as one TOML table."""
        said = self.map.model_dump(mode="json", exclude_defaults=True)
        return {**super().as_dict(), **said}


@dataclass(frozen=True)
class RunConfig:
    """A run, validated: every name exists, every option has its type and range.

    ``init`` and ``transfer`` are None where the run starts at random and trains no classifier.
    """

    run: RunOptions
    model: PartConfig
    dataset: PartConfig
    corruptions: tuple[PartConfig, ...]
    embeddings: tuple[MapConfig, ...]
    training: TrainingOptions
    split: SplitOptions
    init: InitOptions | None = None
    transfer: TransferOptions | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as the TOML document it came from, defaults filled in."""
        document: dict[str, Any] = {
            **self.run.model_dump(mode="json"),
            "model": self.model.as_dict(),
            "dataset": self.dataset.as_dict(),
            "training": self.training.model_dump(mode="json"),
            "split": self.split.model_dump(mode="json"),
        }
        for key, section in (("init", self.init), ("transfer", self.transfer)):
            if section is not None:
                document[key] = section.model_dump(mode="json")
        for kind, parts in (("corruption", self.corruptions), ("embedding", self.embeddings)):
            if parts:
                document[kind] = [part.as_dict() for part in parts]
        return document

    def to_toml(self) -> str:
        """Return the configuration as TOML; `parse_toml` and `build_config` read it back."""
        return tomli_w.dumps(self.as_dict())

    def identity(self) -> dict[str, Any]:
        """Return what makes the trained model: the document without its embeddings."""
        document = self.as_dict()
        document.pop("embedding", None)
        return document

    def identity_sha256(self) -> str:
        """Return the SHA-256 of the canonical form of `identity`."""
        return canonical_sha256(self.identity())

    def trajectory_sha256(self) -> str:
        """Return the SHA-256 of what decides each training step but how many there will be.

        A checkpoint of one number of epochs serves a run that is extended to more.
        """
        document = self.identity()
        document["training"] = {k: v for k, v in document["training"].items() if k != "epochs"}
        return canonical_sha256(document)


def canonical_sha256(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON document, whatever the order of its keys."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
