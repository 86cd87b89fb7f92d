"""PNG files as image summaries."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary

_RGBA = 4


def picture(tag: str, path: Path) -> Summary:
    """Return a PNG file as an image summary that has the file's bytes unchanged.

    Raises:
        OSError: the file cannot be read.
    """
    with Image.open(path) as image:
        width, height = image.size
    content = Summary.Image(
        height=height, width=width, colorspace=_RGBA, encoded_image_string=path.read_bytes()
    )
    return Summary(value=[Summary.Value(tag=tag, image=content)])
