"""What was asked for: the pictures that are read, and the files that are written."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.errors import SettingError
from impasto.pictures.saving import Saving
from impasto.recipe import settings as recipes

if TYPE_CHECKING:
    from impasto.painting.checkpoints import Keeper
    from impasto.workshop.outputs import Outputs


@dataclass(frozen=True)
class Extras:
    """What was asked for beside the picture."""

    frames: Path | None = None
    save_every: int | None = None
    timelapse: Path | None = None
    plot: Path | None = None
    report: Path | None = None
    checkpoint: Path | None = None
    checkpoint_every: float = recipes.CHECKPOINT_EVERY
    resume: Path | None = None

    def called(self, name: str) -> "Extras":
        """Return them for one picture of many, whose name is put where ``{name}`` stands.

        Raises SettingError for a file that would be the same for all of them.
        """
        paths = {key: path for key, path in vars(self).items() if isinstance(path, Path)}
        for key, path in paths.items():
            if NAME not in str(path):
                raise SettingError(
                    f"{recipes.flag(key)} {path} would be one for all pictures: put {NAME} into it "
                    "where the name of each is to stand"
                )
        put: dict[str, Any] = {
            key: Path(str(path).replace(NAME, name)) for key, path in paths.items()
        }
        return dataclasses.replace(self, **put)

    def read(self) -> tuple[str, ...]:
        """Return the files that are read, and not written again at the same place."""
        return (str(self.resume),) if self.resume and self.checkpoint else ()

    def outputs(self, picture: Path, saving: Saving) -> "Outputs":
        """Return all that is to be written."""
        from impasto.workshop.outputs import Outputs

        return Outputs(
            picture,
            self.frames,
            self.save_every,
            self.timelapse,
            self.plot,
            self.report,
            saving,
            self.checkpoint or self.resume,
        )

    def check(self) -> None:
        """Raise SettingError or PictureError if checkpoints cannot be saved."""
        from impasto.painting import checkpoints

        checkpoints.place(self.checkpoint, self.resume)

    def keeper(self, tell: Callable[[str], None]) -> "Keeper":
        """Return what saves checkpoints, and tells why if it cannot."""
        from impasto.painting.checkpoints import Keeper

        return Keeper(self.checkpoint or self.resume, self.checkpoint_every, tell)


NAME = "{name}"
"""Stands for the name of each picture in the files of many."""


@dataclass(frozen=True)
class Sources:
    """The paths of the pictures that were named."""

    content: str
    styles: Sequence[str]
    regions: Sequence[tuple[str, ...]] = ()
    """each mask, painting and, if it was given, the painting's mask"""
    keep: str | None = None

    @classmethod
    def parse(
        cls, content: str, style: list[str] | None, region: list[str] | None, keep: str | None
    ) -> "Sources":
        """Take the words of the command line."""
        from impasto.painting import inputs

        return cls(content, style or [], [inputs.parse_region(each) for each in region or []], keep)

    def given(self) -> tuple[Any, ...]:
        """Return what :func:`impasto.painting.inputs.prepare` takes after the recipe."""
        return self.content, self.styles, self.regions, self.keep

    def words(self) -> list[str]:
        """Return the words of the command line again."""
        regions = itertools.chain(*(("--region", ":".join(each)) for each in self.regions))
        return [self.content, *self.styles, *regions, *(["--keep", self.keep] if self.keep else [])]

    def paths(self) -> tuple[str, ...]:
        """Return all of them."""
        named = (self.content, *self.styles, *itertools.chain(*self.regions), self.keep)
        return tuple(path for path in named if path)

    def stem(self) -> str:
        """Return a name for the picture, from the photograph's and the paintings'."""
        paintings = [*self.styles, *(painting for _, painting, *_ in self.regions)]
        return "-".join(Path(path).stem for path in (self.content, *dict.fromkeys(paintings)))
