"""Picture files made in memory: two halves in two colors, and PNGs that Pillow does not write."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pillow_heif
import tifffile
from PIL import Image

pillow_heif.register_heif_opener(thumbnails=False)

RED, BLUE = (255, 0, 0), (0, 0, 255)
WIDTH, HEIGHT = 32, 24
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))


def halves(left: Any = RED, right: Any = BLUE, mode: str = "RGB") -> Image.Image:
    image = Image.new(mode, (WIDTH, HEIGHT), left)
    image.paste(right, (WIDTH // 2, 0, WIDTH, HEIGHT))
    return image


def pixels_of(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), np.float32)


def encoded(image: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def tiff(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def pages(*written: tuple[np.ndarray, dict[str, Any]]) -> bytes:
    """A TIFF of several pages, each with its own options."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for array, options in written:
            writer.write(array, **{"photometric": "rgb", "metadata": None, **options})
    return buffer.getvalue()


def from_srgb(v: Any) -> Any:
    """Light of sRGB values in [0, 1], by IEC 61966-2-1."""
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def to_srgb(v: Any) -> Any:
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * np.maximum(v, 0) ** (1 / 2.4) - 0.055)


def png(depth: int, kind: int, row: bytes, extra: bytes = b"", size: Any = None) -> bytes:
    """A PNG of equal rows, for what Pillow reads but does not write."""
    header = struct.pack(">IIBBBBB", *(size or (WIDTH, HEIGHT)), depth, kind, 0, 0, 0)
    data = zlib.compress((b"\0" + row) * HEIGHT)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def assert_halves(pixels: np.ndarray, left: Any, right: Any, tolerance: float) -> None:
    assert pixels.dtype == np.float32
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert pixels.min() >= 0
    assert pixels.max() <= 255
    near_edge = slice(WIDTH // 2 - 8, WIDTH // 2 + 8)
    pixels = np.delete(pixels, np.r_[near_edge], axis=1)
    np.testing.assert_allclose(pixels[:, :8] - np.array(left, np.float32), 0, atol=tolerance)
    np.testing.assert_allclose(pixels[:, 8:] - np.array(right, np.float32), 0, atol=tolerance)
