"""A painted picture and how it came about."""

import dataclasses
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from impasto.painting.events import LevelFinished, Record
from impasto.painting.provenance import Provenance, Source
from impasto.pictures import encode, metadata
from impasto.pictures.masks import Mask
from impasto.pictures.metadata import UNKNOWN, Metadata
from impasto.pictures.raster import Picture
from impasto.pictures.saving import USUAL, Saving
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class Result:
    """A painted picture and how it came about."""

    picture: Picture
    """float32 (height, width, 3), RGB in [0, 255], clipped"""
    recipe: Recipe
    network: Mapping[str, str]
    """name, source and sha256 of the weights"""
    seconds: Mapping[str, float]
    """total, and by stage: network, targets, painting; reading and writing files not counted"""
    levels: tuple[LevelFinished, ...]
    history: tuple[Record, ...]
    """one record for every evaluation"""
    stopped: bool
    """whether the work was stopped before its end"""
    lowered: bool
    """whether memory ran out, so that the finest level was painted smaller and carried up"""
    origin: Provenance
    """what it was painted from and with"""
    alpha: Mask | None = None
    """(height, width), how opaque the photograph is; None all over"""
    metadata: Metadata = UNKNOWN
    """what the photograph's file says of it"""

    @property
    def backend(self) -> str:
        """The backend that painted: tensorflow, jax or torch."""
        return self.origin.backend

    @property
    def precision(self) -> str:
        """The number format of the features, float32 or bfloat16."""
        return self.origin.recipe.precision

    @property
    def inputs(self) -> tuple[Source, ...]:
        """The pictures that were read."""
        return self.origin.inputs

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the picture as an array (height, width, 3), RGB in [0, 255]."""
        return np.array(self.picture, dtype, copy=copy)

    def _repr_png_(self) -> bytes:
        """Return the picture as a notebook shows it."""
        shown = io.BytesIO()
        self.image.save(shown, "PNG")
        return shown.getvalue()

    @property
    def image(self) -> Image.Image:
        """The picture as an 8-bit Pillow image, RGB or RGBA."""
        return encode.to_image(self.picture, self.alpha)

    def save(self, path: str | os.PathLike[str], saving: Saving = USUAL) -> None:
        """Write the picture, its recipe within; the ending chooses the format.

        What the photograph's file says of it goes along, but for where it was taken, unless
        ``saving`` asks for it. Raises OutputError if it cannot be written, and SettingError for a
        format that cannot be written so.
        """
        encode.check(path, saving)
        said = replace(
            self.metadata,
            dpi=saving.dpi or self.metadata.dpi,
            position=self.metadata.position if saving.location else None,
        )
        xmp = self.provenance.to_xmp(metadata.to_xmp(said))
        encode.write(self.picture, path, xmp, alpha=self.alpha, said=said, saving=saving)

    @property
    def finished(self) -> bool:
        """Whether the work went on to its end, as the recipe says."""
        return not (self.stopped or self.lowered)

    @property
    def provenance(self) -> Provenance:
        """What the picture depends on, as its file says it."""
        return replace(self.origin, finished=self.finished)

    def report(self) -> dict[str, object]:
        """Return everything but the picture, as JSON takes it."""
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


@dataclass(frozen=True)
class Painted:
    """The event that a picture is painted, to its end or as far as it was asked for."""

    result: Result
