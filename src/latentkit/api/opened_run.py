"""An opened run: its folder as it is on disk now, and what is derived from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch

from latentkit.api.inputs import data_dir_of
from latentkit.api.kinds import kind_of
from latentkit.config import RunConfig
from latentkit.plugin.events import ignore
from latentkit.registry.catalogue import Registry
from latentkit.runs import run_files
from latentkit.runs.context import ImageCache, StageContext
from latentkit.runs.folder import RunFolder
from latentkit.runs.kind import RunKind
from latentkit.runs.saved_config import registry_of, stored_config

_T = TypeVar("_T")


class OpenedRun:
    """A run's folder, read again when its manifest changes.

    Args:
        folder: the run's folder.
        registry: where names are looked up; None for the recorded plugins.
        plugins: files of plugins that the run was made with, if they have moved.
        data: the folder of data sets, if it has moved since the run was made.
    """

    def __init__(
        self,
        folder: RunFolder,
        registry: Registry | None = None,
        plugins: Iterable[str | os.PathLike[str]] = (),
        data: str | os.PathLike[str] | None = None,
    ) -> None:
        folder.path = folder.path.absolute()  # it stays the same when the working folder changes
        self._opened = folder
        self._given_registry = registry
        self._plugins = tuple(plugins)
        self.given_data = data
        self._derived: dict[str, Any] = {}
        self._image_cache = ImageCache()
        self._derived_from = folder.manifest

    @property
    def _folder(self) -> RunFolder:
        """The run's folder, with the manifest that is on disk now."""
        self._refresh()
        return self._opened

    def _refresh(self) -> None:
        """Read the manifest again if it has changed, and forget what was made from the old one."""
        self._opened.refresh()
        now, before = self._opened.manifest, self._derived_from
        if now is before:
            return
        self._derived_from = now
        self._derived.pop("config", None)
        if now.plugin_files != before.plugin_files:
            self._given_registry = None
            self._derived.pop("registry", None)
        made_of = (run_files.DATA, run_files.MODEL)
        same = all(now.artefacts.get(name) == before.artefacts.get(name) for name in made_of)
        if not same or now.config_sha256 != before.config_sha256:
            self._derived.clear()

    def _kept(self, name: str, make: Callable[[], _T]) -> _T:
        """Return a value that is made once, and again if the manifest has changed since."""
        self._refresh()
        if name not in self._derived:
            self._derived[name] = make()
        value: _T = self._derived[name]
        return value

    @property
    def _registry(self) -> Registry:
        return self._given_registry or self._kept("registry", self._recorded_registry)

    def _recorded_registry(self) -> Registry:
        return registry_of(self._opened.manifest, self._plugins)

    @property
    def id(self) -> str:
        """The name of the run's folder."""
        return self._opened.manifest.id

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self._opened.path

    @property
    def status(self) -> str:
        """``running``, ``stopped``, ``finished``, ``interrupted``, ``failed`` or ``pruned``.

        ``stopped`` means that the run did not end, but no process is working on it.
        """
        return self._folder.status()

    @property
    def error(self) -> str:
        """Why the run failed: the error's class and message; empty if it did not fail."""
        return self._folder.manifest.error

    @cached_property
    def kind(self) -> RunKind:
        """The kind of run; ``kind.name`` is ``autoencoder``, ``transfer`` or ``trial``."""
        return kind_of(self._opened)

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        return self._kept("config", lambda: stored_config(self._opened, self._registry))

    @property
    def _context(self) -> StageContext:
        return self._kept("context", self._new_context)

    def _new_context(self) -> StageContext:
        data = data_dir_of(self._opened.manifest.data_dir, self.given_data)
        device = torch.device("cpu")
        return StageContext(
            self.config, self._registry, data, device, self._opened, ignore, self._image_cache
        )
