"""Options for writing images, with their defaults."""

from dataclasses import dataclass

from impasto.errors import SettingError
from impasto.recipe.values import format_value

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
DEPTHS = (8, 16)


@dataclass(frozen=True)
class SaveOptions:
    """Options for writing images. Raises SettingError for values out of range."""

    depth: int = 8
    """bits per channel; 16 only for PNG and TIFF"""
    quality: int = 95
    """quality of JPEG and AVIF, 1 to 100; other formats are lossless"""
    subsampling: str = "4:4:4"
    """chroma subsampling of JPEG and AVIF"""
    dpi: float | None = None
    """pixels per inch; None for that of the content image"""
    location: bool = False
    """whether to keep the location of the content image"""

    def __post_init__(self) -> None:
        if self.depth not in DEPTHS:
            raise SettingError(f"depth is {self.depth}: expected 8 or 16")
        if not 1 <= self.quality <= 100:
            raise SettingError(f"quality is {self.quality}: expected 1 to 100")
        if self.subsampling not in SUBSAMPLINGS:
            possible = ", ".join(SUBSAMPLINGS)
            raise SettingError(f"subsampling is {self.subsampling!r}: possible: {possible}")
        if self.dpi is not None and not 1 < self.dpi <= 100_000:
            raise SettingError(
                f"dpi is {format_value(self.dpi)}: expected more than 1 and at most 100000"
            )

    def as_options(self) -> tuple[str, ...]:
        """Return the command-line options for values that are not the defaults."""
        args: list[str] = []
        for name in ("depth", "quality", "subsampling", "dpi"):
            if (value := getattr(self, name)) != getattr(DEFAULT_SAVE_OPTIONS, name):
                args += [f"--{name}", format_value(value)]
        return (*args, *(["--keep-location"] if self.location else []))


DEFAULT_SAVE_OPTIONS = SaveOptions()
"""The default options."""
