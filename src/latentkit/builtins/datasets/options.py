"""Options of the built-in data sets."""

from __future__ import annotations

from pydantic import Field

from latentkit.plugin import Options


class DownloadOptions(Options):
    """A data set whose files are downloaded on first use."""

    mirror: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="Folder URL to download from; empty for the data set's own.",
    )
