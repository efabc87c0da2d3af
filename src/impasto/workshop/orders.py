"""Job specifications: the images to read, and the files to write."""

import dataclasses
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.errors import SettingError
from impasto.pictures.saving import Saving
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe

if TYPE_CHECKING:
    from impasto.painting.provenance import Provenance
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
    memory: str | None = None

    def called(self, name: str) -> "Extras":
        """Return them for one picture of many, whose name is put where ``{name}`` stands.

        Raises SettingError for a file that would be the same for all of them.
        """
        paths = {key: path for key, path in vars(self).items() if isinstance(path, Path)}
        for key, path in paths.items():
            if NAME not in str(path):
                raise SettingError(
                    f"{recipes.flag(key)} {path} would be the same file for all images: put {NAME} "
                    "into the path"
                )
        put: dict[str, Any] = {
            key: Path(str(path).replace(NAME, name)) for key, path in paths.items()
        }
        return dataclasses.replace(self, **put)

    def absolute(self) -> "Extras":
        """Return them for whoever is in another folder."""
        paths: dict[str, Any] = {
            key: path.absolute() for key, path in vars(self).items() if isinstance(path, Path)
        }
        return dataclasses.replace(self, **paths)

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

    def order(self, sources: "Sources", picture: Path, saving: Saving) -> "Order":
        """Return the order that asks for these beside a picture."""
        return Order(
            sources,
            self.outputs(picture, saving),
            checkpoint=self.checkpoint,
            checkpoint_every=self.checkpoint_every,
            resume=self.resume,
            memory=self.memory,
        )


NAME = "{name}"
"""Stands for the name of each picture in the files of many."""


def parse_region(text: str, drives: bool = os.name == "nt") -> tuple[str, ...]:
    """Cut up MASK:PAINTING or MASK:PAINTING:PAINTING_MASK. Raises SettingError for all else.

    Names may have colons in them: it is cut where all files are there, if there is such a place.
    Where paths begin with ``drives``, a single letter before a colon is one. A ``~`` at the
    beginning of a path is the person's home.
    """
    colon = r"(?<!^[A-Za-z])(?<!:[A-Za-z]):" if drives else ":"
    pieces = re.split(colon, text)
    usual = tuple(os.path.expanduser(piece) for piece in pieces)
    cuts = [_joined(pieces, places) for places in _cuts(len(pieces))]
    there = next((cut for cut in cuts if all(map(os.path.exists, cut))), usual)
    if len(there) not in (2, 3) or not all(there):
        raise SettingError(f"region {text!r}: expected MASK:STYLE or MASK:STYLE:STYLE_MASK")
    return there


def _cuts(pieces: int) -> Iterator[tuple[int, ...]]:
    """Yield where so many pieces may be cut into two or three."""
    for count in (1, 2):
        yield from itertools.combinations(range(1, min(pieces, 12)), count)


def _joined(pieces: Sequence[str], places: Sequence[int]) -> tuple[str, ...]:
    """Return pieces put together again but at these places."""
    bounds = itertools.pairwise((0, *places, len(pieces)))
    return tuple(os.path.expanduser(":".join(pieces[begin:end])) for begin, end in bounds)


def as_word(path: str) -> str:
    """Return a path as a command line takes it: one that begins with a dash is no option.

    >>> as_word("-1.png"), as_word("a.png")
    ('./-1.png', 'a.png')
    """
    return f"./{path}" if path.startswith("-") else path


def _word(path: str) -> str:
    return path if path == "-" else as_word(path)  # which is standard input


@dataclass(frozen=True)
class Sources:
    """The paths of the pictures that were named."""

    content: str
    styles: Sequence[str]
    regions: Sequence[tuple[str, ...]] = ()
    """each mask, painting and, if it was given, the painting's mask"""
    keep: str | None = None
    piped: str = ""
    """the temporary file that holds what was read from standard input; empty if nothing was"""

    @classmethod
    def parse(
        cls, content: str, style: list[str] | None, region: list[str] | None, keep: str | None
    ) -> "Sources":
        """Take the words of the command line."""
        home = os.path.expanduser
        return cls(
            home(content),
            [home(each) for each in style or []],
            [parse_region(each) for each in region or []],
            home(keep) if keep else keep,
        )

    def words(self) -> list[str]:
        """Return the words of the command line again."""
        named = self.with_path(self.piped, "-") if self.piped else self
        regions = (("--region", ":".join(map(_word, each))) for each in named.regions)
        keep = ["--keep", _word(named.keep)] if named.keep else []
        return [*map(_word, (named.content, *named.styles)), *itertools.chain(*regions), *keep]

    def with_path(self, path: str, other: str) -> "Sources":
        """Return them with ``other`` wherever a path is ``path``."""

        def chosen(each: str) -> str:
            return other if each == path else each

        return dataclasses.replace(
            self,
            content=chosen(self.content),
            styles=[chosen(each) for each in self.styles],
            regions=[tuple(map(chosen, each)) for each in self.regions],
            keep=self.keep and chosen(self.keep),
        )

    def absolute(self) -> "Sources":
        """Return them for whoever is in another folder."""
        there = os.path.abspath
        return Sources(
            there(self.content) if self.content else "",
            [there(each) for each in self.styles],
            [tuple(map(there, each)) for each in self.regions],
            there(self.keep) if self.keep else self.keep,
        )

    def paths(self) -> tuple[str, ...]:
        """Return all of them."""
        named = (self.content, *self.styles, *itertools.chain(*self.regions), self.keep)
        return tuple(path for path in named if path)

    def stem(self) -> str:
        """Return a name for the picture, from the photograph's and the paintings'."""
        paintings = [*self.styles, *(painting for _, painting, *_ in self.regions)]
        return "-".join(Path(path).stem for path in (self.content, *dict.fromkeys(paintings)))


@dataclass(frozen=True)
class Order:
    """One picture that was asked for: what is read, and what is written."""

    sources: Sources
    outputs: "Outputs"
    checkpoint: Path | None = None
    checkpoint_every: float = recipes.CHECKPOINT_EVERY
    resume: Path | None = None
    recipe: Recipe | None = None
    """None is the stylizer's own"""
    before: "Provenance | None" = None
    """what the picture says whose recipe it is"""
    weights_file: Path | None = None
    memory: str | None = None
    """how much may be used"""

    def words(self, recipe: Recipe) -> list[str]:
        """Return the words of the command line that a checkpoint of the recipe does not hold."""
        words = ["impasto", "stylize", *self.sources.words(), *self.outputs.words()]
        words += ["--weights", as_word(str(self.weights_file))] if self.weights_file else []
        init = recipe.init
        return words + ([] if init in recipes.STARTS else ["--init", as_word(init)])
