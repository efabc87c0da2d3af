"""Detects the format of a file by its first bytes; messages for unsupported formats.

File names only decide which files of a folder are used as images.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from impasto import files
from impasto.errors import ImageError

READABLE_ENDINGS = (
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".png", ".apng", ".webp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif", ".hif", ".bmp", ".dib", ".gif", ".pnm", ".ppm", ".pgm", ".pbm"),
    *(".pfm", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
)
"""Extensions of image files in folders; the format of a given file follows from its bytes."""
RAW_ENDINGS = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq"),
    *(".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2"),
    *(".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
"""Extensions of camera raw files."""

RAW = (
    "a camera raw file is not supported: convert it in the camera's program or in "
    "another raw converter to TIFF or JPEG"
)
"""Message for a camera raw file."""
_EXPORT = "export it as PNG, TIFF or JPEG"

_UNSUPPORTED: tuple[tuple[int, bytes, str], ...] = (
    (0, b"FUJIFILMCCD-RAW", RAW),
    (0, b"II\x1a\0\0\0HEAPCCDR", RAW),
    (8, b"CR\2", RAW),
    (0, b"IIRO", RAW),
    (0, b"IIRS", RAW),
    (0, b"MMOR", RAW),
    (0, b"IIU\0", RAW),
    (0, b"\0MRM", RAW),
    (0, b"FOVb", RAW),
    (4, b"ftypcrx ", RAW),
    (0, b"\xff\x0a", f"a JPEG XL image is not supported: {_EXPORT}"),
    (4, b"JXL \r\n\x87\n", f"a JPEG XL image is not supported: {_EXPORT}"),
    (0, b"8BPS", f"a Photoshop document is not supported: {_EXPORT}"),
    (0, b"gimp xcf", f"a GIMP document is not supported: {_EXPORT}"),
    (0, b"\x76\x2f\x31\x01", f"an OpenEXR image is not supported: {_EXPORT}"),
    (0, b"#?RADIANCE", f"a Radiance image is not supported: {_EXPORT}"),
    (0, b"PF\n", "a color PFM image is not supported: save it as a TIFF of 32-bit floats"),
    (0, b"\0\0\1\0", f"an icon is not supported: {_EXPORT}"),
    (0, b"%PDF", f"a PDF document, not an image: {_EXPORT}"),
    (0, b"%!PS", f"a PostScript document, not an image: {_EXPORT}"),
    (0, b"<svg", f"an SVG drawing, not an image: {_EXPORT}"),
    (0, b"<?xml", f"an XML file, not an image; if it is a drawing: {_EXPORT}"),
    (0, b"<!doctype html", "a web page, not an image: save the image that it shows"),
    (0, b"<html", "a web page, not an image: save the image that it shows"),
    (0, b"PK\3\4", "an archive, not an image: unpack it and give an image inside it"),
    (0, b"\0\5\x16\7", "a macOS metadata file, not an image: give the file that it describes"),
    *((4, b"ftyp" + kind, "a video, not an image: save one of its frames") for kind in (
        b"isom", b"iso2", b"mp41", b"mp42", b"qt  ", b"M4V ", b"avc1",
    )),
    (0, b"\x1a\x45\xdf\xa3", "a video, not an image: save one of its frames"),
)  # fmt: skip
"""Offsets and byte patterns of unsupported formats; markup is matched ignoring case."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNM = tuple(b"P%d" % number for number in range(1, 8))
HEAD_BYTES = 64
"""Number of first bytes that decide the format."""


def reject_unsupported(head: bytes) -> None:
    """Raise ImageError, with advice, for a known format that is not supported."""
    for at, word, what in _UNSUPPORTED:
        part = head[at : at + len(word)]
        if (part.lower() if word.startswith(b"<") else part) == word:
            raise ImageError(what)


def is_tiff(head: bytes) -> bool:
    """Return whether a file is TIFF, or BigTIFF."""
    return head.startswith(_TIFF)


def is_png(head: bytes) -> bool:
    """Return whether a file is PNG."""
    return head.startswith(b"\x89PNG\r\n\x1a\n")


class FolderListing(NamedTuple):
    """The image files in a folder, sorted, and the other files."""

    images: tuple[Path, ...]
    left_out: tuple[str, ...]
    """a note for each kind of skipped files, with names"""
    folders: tuple[Path, ...] = ()
    """the subfolders, sorted, without hidden ones"""


def list_folder(folder: Path) -> FolderListing:
    """Return the image files of a folder by extension, and notes on skipped files.

    Hidden files, such as those of macOS, and folders are skipped. Raises ImageError for a folder
    that cannot be listed.
    """
    try:
        entries = sorted(folder.iterdir())
        folders = [each for each in entries if each.is_dir()]
    except OSError as error:
        where = files.display_path(folder)
        raise ImageError(f"{where} cannot be listed: {files.error_reason(error)}") from None
    kinds: dict[str, list[Path]] = {}
    for each in entries:
        if each not in folders:
            kinds.setdefault(_file_kind(each), []).append(each)
    images = tuple(kinds.pop(IMAGE, ()))
    left_out = tuple(f"skipped ({kind}): {format_names(kinds[kind])}" for kind in sorted(kinds))
    visible = tuple(each for each in folders if not each.name.startswith("."))
    return FolderListing(images, left_out, visible)


IMAGE = "images"


def _file_kind(path: Path) -> str:
    ending = path.suffix.lower()
    if path.name.startswith("."):
        return "hidden"
    if ending in READABLE_ENDINGS:
        return IMAGE
    return "camera raw files" if ending in RAW_ENDINGS else "not images"


def format_names(paths: Sequence[Path]) -> str:
    """Return the first few names, and how many more there are."""
    names = ", ".join(files.display_path(path.name) for path in paths[:NAMED])
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return f"{names}{more}"


NAMED = 5
"""Maximum number of names in a note."""
