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
from impasto.images.formats.save_options import SaveOptions
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe

if TYPE_CHECKING:
    from impasto.painting.provenance import Provenance
    from impasto.workshop.outputs import Outputs


@dataclass(frozen=True)
class Extras:
    """Additional inputs and outputs of a job: frames, video, plot, report, checkpoint."""

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
        """Return a copy for one image of many, with its name in place of ``{name}``.

        Raises SettingError for a path that would be the same for all images.
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
        """Return the files that are read and not written."""
        return (str(self.resume),) if self.resume and self.checkpoint else ()

    def outputs(self, picture: Path, saving: SaveOptions) -> "Outputs":
        """Return all output paths."""
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

    def order(self, sources: "Sources", picture: Path, saving: SaveOptions) -> "Order":
        """Return the job with these additional files."""
        return Order(
            sources,
            self.outputs(picture, saving),
            checkpoint=self.checkpoint,
            checkpoint_every=self.checkpoint_every,
            resume=self.resume,
            memory=self.memory,
        )


NAME = "{name}"
"""Placeholder for the name of each image in paths."""


def parse_region(text: str, drives: bool = os.name == "nt") -> tuple[str, ...]:
    """Split MASK:STYLE or MASK:STYLE:STYLE_MASK. Raises SettingError for anything else.

    File names may contain colons: the text is split so that all files exist, if possible. With
    ``drives``, a single letter before a colon is a drive. A leading ``~`` in a path is the home
    folder of the user.
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
    """Yield the ways to split N pieces into two or three groups."""
    for count in (1, 2):
        yield from itertools.combinations(range(1, min(pieces, 12)), count)


def _joined(pieces: Sequence[str], places: Sequence[int]) -> tuple[str, ...]:
    """Return pieces joined again, except at these positions."""
    bounds = itertools.pairwise((0, *places, len(pieces)))
    return tuple(os.path.expanduser(":".join(pieces[begin:end])) for begin, end in bounds)


def as_word(path: str) -> str:
    """Return a path for the command line, so that a leading dash is not read as an option.

    >>> as_word("-1.png"), as_word("a.png")
    ('./-1.png', 'a.png')
    """
    return f"./{path}" if path.startswith("-") else path


def _word(path: str) -> str:
    return path if path == "-" else as_word(path)  # which is standard input


@dataclass(frozen=True)
class Sources:
    """The paths of the inputs."""

    content: str
    styles: Sequence[str]
    regions: Sequence[tuple[str, ...]] = ()
    """for each region the mask, the style image and, if given, the style mask"""
    keep: str | None = None
    piped: str = ""
    """temporary file with the data of standard input; empty if it was not read"""

    @classmethod
    def parse(
        cls, content: str, style: list[str] | None, region: list[str] | None, keep: str | None
    ) -> "Sources":
        """Parse arguments of the command line."""
        home = os.path.expanduser
        return cls(
            home(content),
            [home(each) for each in style or []],
            [parse_region(each) for each in region or []],
            home(keep) if keep else keep,
        )

    def words(self) -> list[str]:
        """Return the arguments for the command line."""
        named = self.with_path(self.piped, "-") if self.piped else self
        regions = (("--region", ":".join(map(_word, each))) for each in named.regions)
        keep = ["--keep", _word(named.keep)] if named.keep else []
        return [*map(_word, (named.content, *named.styles)), *itertools.chain(*regions), *keep]

    def with_path(self, path: str, other: str) -> "Sources":
        """Return a copy with ``path`` replaced by ``other``."""

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
        """Return all paths."""
        named = (self.content, *self.styles, *itertools.chain(*self.regions), self.keep)
        return tuple(path for path in named if path)

    def stem(self) -> str:
        """Return a name for the result, derived from those of its inputs."""
        paintings = [*self.styles, *(painting for _, painting, *_ in self.regions)]
        return "-".join(Path(path).stem for path in (self.content, *dict.fromkeys(paintings)))


@dataclass(frozen=True)
class Order:
    """One job: inputs and outputs."""

    sources: Sources
    outputs: "Outputs"
    checkpoint: Path | None = None
    checkpoint_every: float = recipes.CHECKPOINT_EVERY
    resume: Path | None = None
    recipe: Recipe | None = None
    """None for that of the stylizer"""
    before: "Provenance | None" = None
    """provenance of the result whose recipe is used"""
    weights_file: Path | None = None
    memory: str | None = None
    """memory limit"""

    def words(self, recipe: Recipe) -> list[str]:
        """Return the arguments for the command line that a checkpoint does not contain."""
        words = ["impasto", "stylize", *self.sources.words(), *self.outputs.words()]
        words += ["--weights", as_word(str(self.weights_file))] if self.weights_file else []
        init = recipe.init
        return words + ([] if init in recipes.STARTS else ["--init", as_word(init)])
