"""Options for writing images, with their defaults."""

from dataclasses import dataclass

from impasto.errors import SettingError
from impasto.recipe.values import show

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
DEPTHS = (8, 16)


@dataclass(frozen=True)
class Saving:
    """How pictures are written. Raises SettingError for what is out of range."""

    depth: int = 8
    """bits per channel, of PNG and TIFF 16 as well"""
    quality: int = 95
    """of JPEG and AVIF, 1 to 100; the other formats lose nothing"""
    subsampling: str = "4:4:4"
    """of the colors in JPEG and AVIF"""
    dpi: float | None = None
    """pixels per inch; without it the photograph's"""
    location: bool = False
    """whether it is said where the photograph was taken"""

    def __post_init__(self) -> None:
        if self.depth not in DEPTHS:
            raise SettingError(f"depth is {self.depth}: expected 8 or 16")
        if not 1 <= self.quality <= 100:
            raise SettingError(f"quality is {self.quality}: expected 1 to 100")
        if self.subsampling not in SUBSAMPLINGS:
            possible = ", ".join(SUBSAMPLINGS)
            raise SettingError(f"subsampling is {self.subsampling!r}: possible: {possible}")
        if self.dpi is not None and not 1 < self.dpi <= 100_000:
            raise SettingError(f"dpi is {show(self.dpi)}: expected more than 1 and at most 100000")

    def as_options(self) -> tuple[str, ...]:
        """Return the words of the command line that ask for what is not usual."""
        words: list[str] = []
        for name in ("depth", "quality", "subsampling", "dpi"):
            if (value := getattr(self, name)) != getattr(USUAL, name):
                words += [f"--{name}", show(value)]
        return (*words, *(["--keep-location"] if self.location else []))


USUAL = Saving()
"""How pictures are written where nothing is said about it."""
