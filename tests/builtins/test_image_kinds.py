"""Files of every kind, made from known pixels, have these pixels once they are read."""

import io
import pickle
import sys
import types

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, features

from latentkit.errors import DataError
from latentkit.plugin import ImageFile, ImageReading, read_images

GREY = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)
DEEP = GREY.astype(np.uint16) * 300 + 7
DEEP_COLOUR = COLOUR.astype(np.uint16) * 250 + 3
HALVES = np.where(np.arange(16) < 8, 0, 255).astype(np.uint8)[None].repeat(12, 0)
FLOATS = (GREY / 255).astype(np.float32)
BANDS = np.stack([GREY + np.uint8(k) for k in range(6)])
OPAQUE = np.where(np.arange(16) < 8, 255, 0).astype(np.uint8)[None].repeat(12, 0)
ON_WHITE = np.where(OPAQUE[..., None] > 0, COLOUR, np.uint8(255))


def first(array):
    """Return (H, W) or (H, W, C) as (C, H, W)."""
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def pillow(array, kind="PNG", mode=None, **options):
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    file = io.BytesIO()
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **{"photometric": "minisblack", **options})
    return file.getvalue()


def oriented(array, orientation, kind="PNG"):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return pillow(array, kind, exif=exif)


def frames(kind, **options):
    more = [Image.fromarray(one) for one in (HALVES, 255 - HALVES)]
    return pillow(HALVES, kind, save_all=True, append_images=more[1:], **options)


def pages(*arrays):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for array in arrays:
            writer.write(array, photometric="minisblack", metadata=None)
    return file.getvalue()


def palette(transparent=None):
    image = Image.fromarray(HALVES // 255, "L").convert("P")
    image.putdata((HALVES // 255).ravel().tolist())
    image.putpalette([10, 20, 30, 200, 100, 0] + [0] * 762)
    options = {} if transparent is None else {"transparency": transparent}
    return pillow(image, **options)


def of_palette(dark, light):
    return np.where(HALVES[..., None] == 0, np.uint8(dark), np.uint8(light))


def key_colour():
    """Return a PNG of which the colour (0, 0, 0) is transparent."""
    return pillow(HALVES[..., None].repeat(3, 2), transparency=(0, 0, 0))


def with_alpha(array, white):
    return np.dstack([array, OPAQUE.astype(array.dtype) * (white // 255)])


CMYK = np.dstack([255 - COLOUR, np.zeros_like(GREY)])
LAB = np.full((12, 16, 3), (128, 0, 0), np.uint8)  # neutral, and half as light as white

KINDS = {
    "PNG 1 bit": (pillow(HALVES, mode="1"), {}, HALVES),
    "PNG 8-bit grey": (pillow(GREY), {}, GREY),
    "PNG 8-bit colour": (pillow(COLOUR), {}, COLOUR),
    "PNG colour of equal channels": (pillow(np.dstack([GREY] * 3)), {}, GREY),
    "PNG palette": (palette(), {}, of_palette((10, 20, 30), (200, 100, 0))),
    "PNG palette, transparent": (palette(0), {}, of_palette((255,) * 3, (200, 100, 0))),
    "PNG transparent colour": (key_colour(), {}, np.full_like(GREY, 255)),
    "PNG with alpha": (pillow(np.dstack([COLOUR, OPAQUE])), {}, ON_WHITE),
    "PNG grey with alpha": (
        pillow(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(OPAQUE)])),
        {},
        np.where(OPAQUE, GREY, np.uint8(255)),
    ),
    "PNG with alpha, all channels": (
        pillow(np.dstack([COLOUR, OPAQUE])),
        {"channels": "all"},
        np.dstack([COLOUR, OPAQUE]),
    ),
    "PNG 16-bit grey": (imagecodecs.png_encode(DEEP), {}, DEEP),
    "PNG 16-bit colour": (imagecodecs.png_encode(DEEP_COLOUR), {}, DEEP_COLOUR),
    "PNG 16-bit colour with alpha": (
        imagecodecs.png_encode(with_alpha(DEEP_COLOUR, 65_535)),
        {},
        np.where(OPAQUE[..., None] > 0, DEEP_COLOUR, np.uint16(65_535)),
    ),
    "PNG 16-bit as 8": (
        imagecodecs.png_encode(DEEP),
        {"depth": 8},
        np.rint(DEEP / 257).astype(np.uint8),
    ),
    "PNG 8-bit as 16": (pillow(GREY), {"depth": 16}, GREY.astype(np.uint16) * 257),
    "PNG grey as colour": (pillow(GREY), {"channels": "rgb"}, np.dstack([GREY] * 3)),
    "PNG upside down": (oriented(GREY, 3), {}, GREY[::-1, ::-1]),
    "PNG on its side": (oriented(COLOUR, 6), {}, np.rot90(COLOUR, -1)),
    "PNG animation": (frames("PNG"), {}, HALVES),
    "JPEG grey": (pillow(HALVES, "JPEG", quality=100), {}, HALVES),
    "JPEG colour": (pillow(COLOUR, "JPEG", quality=100, subsampling=0), {}, COLOUR),
    "JPEG CMYK": (pillow(COLOUR, "JPEG", "CMYK", quality=100, subsampling=0), {}, COLOUR),
    "JPEG on its side": (oriented(HALVES, 8, "JPEG"), {}, np.rot90(HALVES)),
    "GIF animation": (frames("GIF"), {}, HALVES),
    "BMP": (pillow(COLOUR, "BMP"), {}, COLOUR),
    "WEBP": (pillow(COLOUR, "WEBP", lossless=True), {}, COLOUR),
    "WEBP animation": (frames("WEBP", lossless=True), {}, HALVES),
    "PGM 16-bit": (b"P5 16 12 65535\n" + DEEP.astype(">u2").tobytes(), {}, DEEP),
    "PPM of 1,023": (
        b"P6 16 12 1023\n" + (COLOUR.astype(np.uint16) * 4).astype(">u2").tobytes(),
        {},
        np.rint(COLOUR.astype(np.uint16) * 4 * (65_535 / 1023)).astype(np.uint16),
    ),
    "PFM float": (b"Pf\n16 12\n-1.0\n" + FLOATS[::-1].tobytes(), {"depth": 8}, GREY),
    "TIFF 1 bit, fax": (pillow(HALVES, "TIFF", "1", compression="group4"), {}, HALVES),
    "TIFF white is 0": (tiff(GREY, photometric="miniswhite"), {}, 255 - GREY),
    "TIFF CMYK": (pillow(Image.fromarray(CMYK, "CMYK"), "TIFF"), {}, COLOUR),
    "TIFF LAB": (tiff(LAB, photometric="cielab"), {}, np.full_like(GREY, 119)),
    "TIFF YCbCr": (
        tiff(
            COLOUR,
            photometric="rgb",
            compression="jpeg",
            compressionargs={"level": 100},
            subsampling=(1, 1),
        ),
        {},
        COLOUR,
    ),
    "TIFF 12 bits": (
        tiff(GREY.astype(np.uint16) * 16, bitspersample=12),
        {},
        np.rint(GREY.astype(np.uint16) * 16 * (65_535 / 4095)).astype(np.uint16),
    )
    if hasattr(imagecodecs, "packints_encode") and imagecodecs.PACKINTS.available
    else (tiff(DEEP), {}, DEEP),
    "TIFF 16-bit grey, LZW": (tiff(DEEP, compression="lzw"), {}, DEEP),
    "TIFF 16-bit, white is 0": (tiff(DEEP, photometric="miniswhite"), {}, 65_535 - DEEP),
    "TIFF 16-bit colour, planes": (
        tiff(first(DEEP_COLOUR), photometric="rgb", planarconfig="separate"),
        {},
        DEEP_COLOUR,
    ),
    "TIFF 16-bit, big-endian, BigTIFF": (tiff(DEEP, byteorder=">", bigtiff=True), {}, DEEP),
    "TIFF 16-bit, on its side": (
        tiff(DEEP, extratags=[(274, 3, 1, 6, True)]),
        {},
        np.rot90(DEEP, -1),
    ),
    "TIFF int16": (
        tiff(DEEP.astype(np.int32).__sub__(32_768).astype(np.int16)),
        {},
        DEEP,
    ),
    "TIFF int32 in a range": (
        tiff(GREY.astype(np.int32) - 100),
        {"value_range": (-100, 155), "depth": 8},
        GREY,
    ),
    "TIFF float32": (tiff(FLOATS), {}, np.rint(FLOATS * 65_535).astype(np.uint16)),
    "TIFF float64 in a range": (
        tiff(GREY.astype(np.float64) * 3 - 9),
        {"value_range": (-9, 756), "depth": 8},
        GREY,
    ),
    "TIFF of 6 channels": (tiff(BANDS, planarconfig="separate"), {}, BANDS.transpose(1, 2, 0)),
    "TIFF, 3 of 6 channels": (
        tiff(BANDS.transpose(1, 2, 0), planarconfig="contig"),
        {"channels": (0, 3, 5)},
        BANDS[[0, 3, 5]].transpose(1, 2, 0),
    ),
    "ImageJ, channels as pages": (
        tiff(BANDS.astype(np.uint16), imagej=True, metadata={"axes": "CYX"}),
        {},
        BANDS.astype(np.uint16).transpose(1, 2, 0),
    ),
    "TIFF of pages, the first": (pages(DEEP, DEEP[::-1]), {}, DEEP),
    "TIFF of pages, the second": (pages(DEEP, DEEP[::-1]), {"page": 1}, DEEP[::-1]),
    "TIFF of pages of two sizes": (pages(GREY, GREY[:8]), {"page": 1}, GREY[:8]),
    "GIF animation, the second": (frames("GIF"), {"page": 1}, 255 - HALVES),
}
if features.check("avif"):
    KINDS["AVIF"] = (pillow(HALVES, "AVIF", quality=100), {}, HALVES)
if features.check("avif") and imagecodecs.AVIF.available:
    shades = np.dstack([GREY.astype(np.uint16) * 5] * 3)
    KINDS["AVIF 10-bit"] = (
        imagecodecs.avif_encode(shades, level=100, bitspersample=10),
        {},
        np.rint(shades[..., 0] * (65_535 / 1023)).astype(np.uint16),
    )
ABOUT = {"JPEG colour": 2, "JPEG CMYK": 3, "TIFF LAB": 1, "TIFF YCbCr": 4, "AVIF": 2}
"""Most that a value may differ, where the kind of file rounds."""


def read(tmp_path, content, *, page=0, **options):
    (tmp_path / "image").write_bytes(content)
    reading = ImageReading(**{"fit": "none", **options})
    return reading.read(ImageFile(tmp_path / "image", page))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_each_kind_has_its_pixels(tmp_path, kind):
    content, options, expected = KINDS[kind]
    found = read(tmp_path, content, **options).pixels
    expected = first(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert abs(found.astype(int) - expected.astype(int)).max() <= ABOUT.get(kind, 0)


BROKEN = {
    "empty": (b"", {}, "the file is empty"),
    "text": (b"hello", {}, "no image of the formats PNG, JPEG"),
    "cut JPEG": (pillow(COLOUR, "JPEG")[:-200], {}, "Truncated"),
    "cut PNG": (imagecodecs.png_encode(DEEP_COLOUR)[:-300], {}, "."),
    "cut PNG of 8 bits": (pillow(COLOUR)[:-60], {}, "."),
    "a page too many of a PNG": (
        pillow(COLOUR),
        {"page": 1},
        "no more images|attempt to seek|fewer",
    ),
    "cut TIFF": (tiff(DEEP)[:-100], {}, "failed to read"),
    "cut LZW": (tiff(DEEP, compression="lzw")[:-100], {}, "corrupted strip"),
    "NaN": (tiff(np.where(FLOATS > 0.5, np.nan, FLOATS)), {}, "it holds NaN or infinity"),
    "floats above 1": (tiff(FLOATS * 9), {}, r"float32 and reach from 0 to 6\.74.*range=LOW"),
    "int32": (tiff(GREY.astype(np.int32)), {}, "int32 and reach from 0 to 191: .*range=data"),
    "uint32": (tiff(GREY.astype(np.uint32)), {}, "uint32 and reach from 0 to 191"),
    "complex": (tiff(GREY.astype(np.complex64)), {}, "are complex64, which are not shades"),
    "6 channels as grey": (
        tiff(BANDS, planarconfig="separate"),
        {"channels": "grey"},
        "it has 6 channels, so channels=grey does not fit: .*channels=all",
    ),
    "a channel too many": (
        pillow(COLOUR),
        {"channels": (0, 3)},
        "3 channels, so choose from channels 0 to 2, not 3",
    ),
    "65 channels": (
        tiff(np.zeros((65, 12, 16), np.uint8), planarconfig="separate"),
        {},
        "it has 65 channels: .*choose up to 64 of them",
    ),
    "many pixels": (pillow(GREY), {"max_pixels": 100}, "16x12 pixels exceeds limit of 100"),
    "many TIFF pixels": (tiff(DEEP), {"max_pixels": 100}, "16x12 pixels exceeds limit"),
    "a page too many": (pages(DEEP, DEEP), {"page": 2}, "the file has fewer pages"),
    "a frame too many": (frames("GIF"), {"page": 2}, "no more images in GIF"),
    "a compression": (
        tiff(DEEP, compression="jpegxr"),
        {},
        "compression 34934: save it with LZW or deflate",
    ),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", {}, "an HEIF image: install pillow-heif"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path, monkeypatch, kind):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    content, options, reason = BROKEN[kind]
    with pytest.raises(ValueError, match=reason) as said:
        read(tmp_path, content, **options)
    assert "\n" not in str(said.value)


def test_heic_is_read_with_pillow_heif(tmp_path, monkeypatch):
    class Heif:
        size, mode = (16, 12), "RGB"

        def to_pillow(self):
            return Image.fromarray(COLOUR)

    class DeepHeif:
        size, mode = (16, 12), "RGB;16"

        def __array__(self, dtype=None, copy=None):
            return DEEP_COLOUR

    pictures = types.SimpleNamespace(open_heif=lambda file, **options: [Heif(), DeepHeif()])
    monkeypatch.setitem(sys.modules, "pillow_heif", pictures)
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    assert (read(tmp_path, content).pixels == first(COLOUR)).all()
    assert (read(tmp_path, content, page=1).pixels == first(DEEP_COLOUR)).all()


def made(tmp_path, *contents):
    """Return image files of these contents."""
    for number, content in enumerate(contents):
        (tmp_path / f"{number}").write_bytes(content)
    return [ImageFile(tmp_path / f"{number}") for number in range(len(contents))]


def test_a_set_has_the_depth_and_the_channels_that_hold_every_image(tmp_path):
    files = made(tmp_path, pillow(GREY), imagecodecs.png_encode(DEEP), pillow(COLOUR))
    for some, channels, kind in ((files[:1], 1, "uint8"), (files[:2], 1, "uint16")):
        found = read_images(some, ImageReading(fit="none"))
        assert (found.pixels.shape[1], found.pixels.dtype) == (channels, kind)
    found = read_images(files, ImageReading(fit="none"))
    assert (found.pixels[0] == GREY.astype(np.uint16) * 257).all()
    assert (found.pixels[1] == DEEP).all()
    assert (found.pixels[2] == first(COLOUR).astype(np.uint16) * 257).all()
    assert found.notes == (
        "numbers in the files: 16 bits in 1, 8 bits in 2; black and white are the full range",
    )


def test_the_range_of_the_data_is_that_of_all_files_and_is_said(tmp_path):
    files = made(tmp_path, tiff(DEEP), tiff(DEEP // 2), tiff(np.full_like(DEEP, 7)))
    found = read_images(files, ImageReading(fit="none", value_range="data"))
    low, high = 3, int(DEEP.max())
    expected = np.rint((DEEP.astype(float) - low) / (high - low) * 65_535)
    assert abs(found.pixels[0, 0] - expected).max() <= 1
    assert found.notes == (
        "numbers in the files: 16 bits in 3; 3 is black and 57,307 is white",
        "1 of 3 images are constant: every pixel is the same",
    )
    with pytest.raises(DataError, match="every number in every file is 7"):
        read_images(files[2:], ImageReading(value_range="data"))


def test_what_is_lost_is_counted(tmp_path):
    files = made(
        tmp_path,
        tiff(DEEP // 100),
        tiff(DEEP),
        pillow(np.dstack([COLOUR, OPAQUE])),
        frames("GIF"),
    )
    notes = read_images(files, ImageReading((8, 8), depth=8)).notes
    expected = (
        "2 of 4 images were reduced to 8 bits (depth=8)",
        "1 of 4 images have transparent parts, which became white",
        "1 of 4 images use less than an eighth of this range",
        "1 of 4 images are from files of several pictures, of which the first was used",
        "4 of 4 images lost a part of their longer side (fit=crop; fit=pad keeps all)",
    )
    for note, start in zip(notes[1:], expected, strict=True):
        assert note.startswith(start)
    clipped = read_images(files[1:2], ImageReading((8, 8), "pad", value_range=(0, 1000))).notes
    assert clipped == (
        "numbers in the files: 16 bits in 1; 0 is black and 1,000 is white",
        "1 of 1 images have values out of this range, which were clipped",
    )


@pytest.mark.parametrize(
    ("contents", "options", "reason"),
    [
        ((pillow(GREY), pillow(GREY[:8])), {"fit": "none"}, r"2 sizes \(1 of 12x16, 1 of 8x16"),
        (
            (pillow(GREY), tiff(BANDS, planarconfig="separate")),
            {"fit": "none"},
            r"different numbers of channels \(1 with 1, 1 with 6\): choose channels=grey",
        ),
        ((b"", b"x"), {}, r"2 of 2 images cannot be read: .*0 \(the file is empty\), .*1 \(no im"),
    ],
)
def test_files_that_have_no_common_form_are_refused(tmp_path, contents, options, reason):
    with pytest.raises(DataError, match=reason):
        read_images(made(tmp_path, *contents), ImageReading(**options), skip=True)


def test_unreadable_files_are_left_out_by_choice_and_said(tmp_path):
    files = made(tmp_path, b"", pillow(GREY), pillow(COLOUR))
    found = read_images(files, ImageReading(), skip=True)
    assert found.kept.tolist() == [1, 2]
    assert found.notes[0].startswith("1 of 3 images cannot be read: ")
    assert found.notes[0].endswith("0 (the file is empty); they were left out (unreadable=skip)")


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("orientation", [1, 2, 6, 7])
def test_a_jpeg_decoded_at_a_fraction_looks_like_the_whole(tmp_path, fit, orientation):
    y, x = np.mgrid[:333, :401]
    waves = [np.sin(x / a + y / b) for a, b in ((31, 90), (60, 25), (11, 70))]
    smooth = (127 + 120 * np.stack(waves, 2)).astype(np.uint8)
    jpeg, png = (oriented(smooth, orientation, kind) for kind in ("JPEG", "PNG"))
    small = read(tmp_path, jpeg, fit=fit, size=(40, 56)).pixels
    whole = read(tmp_path, png, fit=fit, size=(40, 56)).pixels
    assert small.shape == (3, 40, 56)
    assert abs(small.astype(int) - whole).mean() < 2


def test_numbers_and_bytes_are_scaled_alike(tmp_path):
    content = pillow(COLOUR)
    for fit in ("crop", "pad", "stretch"):
        options = {"fit": fit, "size": (9, 7)}
        by_bytes = read(tmp_path, content, **options).pixels
        by_numbers = read(tmp_path, content, value_range=(0, 255), **options).pixels
        assert abs(by_bytes.astype(int) - by_numbers).max() <= 1


def test_a_reading_can_be_sent_to_other_processes():
    reading = ImageReading((8, 9), channels=(0, 2))
    assert pickle.loads(pickle.dumps(reading)) == reading
