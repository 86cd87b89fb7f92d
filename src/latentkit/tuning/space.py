"""Where a study searches: the ranges that options carry, under the names that ``-o`` takes."""

from __future__ import annotations

from collections.abc import Collection

from latentkit.config import RunConfig
from latentkit.errors import UserError
from latentkit.plugin.options import SearchDomain, search_domains


def search_space(config: RunConfig, fixed: Collection[str] = ()) -> dict[str, SearchDomain]:
    """Return what may be searched for a configuration, by ``"part.key"``.

    Args:
        config: names the model whose options are searched, beside those of training.
        fixed: keys that the user has set; they are left alone.

    Raises:
        UserError: nothing is left to search.
    """
    sections = {"model": type(config.model.options), "training": type(config.training)}
    fixed = {_canonical(key, config) for key in fixed}
    space = {
        f"{section}.{name}": domain
        for section, options in sections.items()
        for name, domain, _ in search_domains(options)
        if f"{section}.{name}" not in fixed
    }
    if not space:
        raise UserError(
            f"there is nothing to search: no option of model {config.model.name!r} or of training "
            f"that is not fixed has a search range"
        )
    return space


def _canonical(key: str, config: RunConfig) -> str:
    """Turn ``conv-ae.latent_dim`` into ``model.latent_dim``."""
    part, _, option = key.rpartition(".")
    return f"model.{option}" if part == config.model.name else key
