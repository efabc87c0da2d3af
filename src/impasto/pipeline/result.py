"""The result of a run: the image, and how it was computed."""

import dataclasses
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from impasto import files
from impasto.errors import OutputError, SettingError, pluralize
from impasto.images.arrays import ImageArray
from impasto.images.formats import encode, metadata
from impasto.images.formats.metadata import NO_METADATA, Metadata
from impasto.images.formats.save_options import DEFAULT_SAVE_OPTIONS, SaveOptions
from impasto.images.load import InputSource
from impasto.images.masks import Mask
from impasto.pipeline.events import LevelFinished, StepRecord
from impasto.pipeline.provenance import Provenance
from impasto.recipe.settings import Recipe


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The result of a run.

    ``numpy.asarray(result)`` is the 8-bit image; ``pixels`` has float values. Results compare by
    identity: compare pixels with ``numpy.array_equal``.
    """

    pixels: ImageArray
    """float32 (height, width, 3), RGB in [0, 255], clipped"""
    recipe: Recipe
    network: Mapping[str, str]
    """name, source and sha256 of the weights"""
    seconds: Mapping[str, float]
    """seconds in total, and by stage: network, targets, painting; without file access"""
    levels: tuple[LevelFinished, ...]
    history: tuple[StepRecord, ...]
    """one record per evaluation"""
    stopped: bool
    """whether the run was stopped early"""
    size_lowered: bool
    """whether memory ran out, so that the finest level was computed smaller and enlarged"""
    run_provenance: Provenance
    """inputs, network and recipe"""
    alpha: Mask | None = None
    """opacity of the content image (height, width); None if it is opaque"""
    metadata: Metadata = NO_METADATA
    """metadata of the content image"""

    def __repr__(self) -> str:
        """Return size, evaluations, time and engine on one line."""
        height, width = self.pixels.shape[:2]
        ended = "" if self.finished else ", incomplete"
        return (
            f"<Result {width} x {height} px, {pluralize(len(self.history), 'evaluation')} in "
            f"{self.seconds.get('total', 0.0):.1f} s on {self.backend}, {self.precision}{ended}>"
        )

    @property
    def backend(self) -> str:
        """The backend in use: native, tensorflow, jax or torch."""
        return self.run_provenance.backend

    @property
    def precision(self) -> str:
        """The number format of the features, float32 or bfloat16."""
        return self.run_provenance.recipe.precision

    @property
    def inputs(self) -> tuple[InputSource, ...]:
        """The input images."""
        return self.run_provenance.inputs

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return ``image`` as an array: uint8 (height, width, 3), or 4 with transparency.

        Another ``dtype`` converts these values. Raises ValueError for ``copy=False``, since the
        array is computed at every call.
        """
        if copy is False:
            raise ValueError("the 8-bit array of a result is always a copy: omit copy=False")
        return np.array(self.image, dtype)

    def _repr_png_(self) -> bytes:
        """Return the image as PNG, for notebooks."""
        shown = io.BytesIO()
        self.image.save(shown, "PNG")
        return shown.getvalue()

    @property
    def image(self) -> Image.Image:
        """The image as an 8-bit Pillow image, RGB or RGBA."""
        return encode.to_pillow(self.pixels, self.alpha)

    def save(
        self,
        path: str | os.PathLike[str] | BinaryIO,
        saving: SaveOptions = DEFAULT_SAVE_OPTIONS,
        format: str | None = None,
    ) -> None:
        """Write the image with its recipe; the ending of the path chooses the format.

        Metadata of the content image is kept, except the place where it was taken, unless
        ``saving`` asks for it.

        Args:
            path: a path, or a file object that is open for binary writing
            saving: how the file is written
            format: the format for a file object, such as ``"png"``

        Raises:
            OutputError: if the file cannot be written
            SettingError: if the format cannot be written as ``saving`` says
        """
        ending = _ending(path, format)
        if ending is None:
            encode.check_writable(cast(files.AnyPath, path), saving)
        tags = replace(
            self.metadata,
            dpi=saving.dpi or self.metadata.dpi,
            position=self.metadata.position if saving.location else None,
        )
        xmp = self.provenance.to_xmp(metadata.to_xmp(tags))
        if ending is None:
            file = cast(files.AnyPath, path)
            encode.write_image(self.pixels, file, xmp, alpha=self.alpha, tags=tags, saving=saving)
            return
        data = encode.encode_image(
            self.pixels, ending, xmp, alpha=self.alpha, tags=tags, saving=saving
        )
        try:
            cast(BinaryIO, path).write(data)
        except (OSError, ValueError, TypeError) as error:
            raise OutputError(f"the file cannot be written: {files.error_reason(error)}") from error

    @property
    def finished(self) -> bool:
        """Whether all levels of the recipe were run, at their sizes."""
        return not (self.stopped or self.size_lowered)

    @property
    def provenance(self) -> Provenance:
        """The provenance to store in the file of the image."""
        return replace(self.run_provenance, finished=self.finished)

    def report(self) -> dict[str, object]:
        """Return everything except the image, for JSON."""
        return {
            "recipe": dataclasses.asdict(self.recipe),
            "weights": dict(self.network),
            "backend": self.backend,
            "precision": self.precision,
            "seconds": dict(self.seconds),
            "evaluations": len(self.history),
            "levels": [level.to_dict() for level in self.levels],
            "history": [dataclasses.asdict(record) for record in self.history],
        }


def _ending(path: object, format: str | None) -> str | None:
    """Return the extension for the format of a file object; None for a path."""
    if isinstance(path, str | os.PathLike):
        if format is not None:
            raise SettingError(
                "format is only for file objects: the extension of a path selects its format"
            )
        return None
    if not hasattr(path, "write"):
        raise OutputError(f"{type(path).__name__} is neither a path nor a file object")
    if format is None:
        raise SettingError("a file object needs a format, such as format='png'")
    return encode.ending_of_format(format)


@dataclass(frozen=True)
class Finished:
    """The last event of a run, which is complete or was stopped."""

    result: Result
