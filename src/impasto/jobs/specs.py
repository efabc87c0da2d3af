"""Job specifications: input paths, output paths and options of one run, as values."""

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
    from impasto.jobs.outputs import OutputPaths
    from impasto.pipeline.provenance import Provenance


@dataclass(frozen=True)
class OutputOptions:
    """Options of a job besides its images: files to write, checkpoint to resume, memory limit."""

    frames: Path | None = None
    save_every: int | None = None
    timelapse: Path | None = None
    plot: Path | None = None
    report: Path | None = None
    checkpoint: Path | None = None
    checkpoint_every: float = recipes.CHECKPOINT_EVERY
    resume: Path | None = None
    memory: str | None = None

    def with_name(self, name: str) -> "OutputOptions":
        """Return the options of one image of many, with its name in place of ``{name}``.

        Raises SettingError for a path that would be the same for all images.
        """
        paths = {key: path for key, path in vars(self).items() if isinstance(path, Path)}
        for key, path in paths.items():
            if NAME_FIELD not in str(path):
                raise SettingError(
                    f"{recipes.option_name(key)} {path} would be the same file for all images: put "
                    f"{NAME_FIELD} "
                    "into the path"
                )
        replaced: dict[str, Any] = {
            key: Path(str(path).replace(NAME_FIELD, name)) for key, path in paths.items()
        }
        return dataclasses.replace(self, **replaced)

    def absolute(self) -> "OutputOptions":
        """Return a copy with absolute paths, for a process in another folder."""
        paths: dict[str, Any] = {
            key: path.absolute() for key, path in vars(self).items() if isinstance(path, Path)
        }
        return dataclasses.replace(self, **paths)

    def read_paths(self) -> tuple[str, ...]:
        """Return the files that are read and not written."""
        return (str(self.resume),) if self.resume and self.checkpoint else ()

    def outputs(self, result: Path, saving: SaveOptions) -> "OutputPaths":
        """Return all output paths."""
        from impasto.jobs.outputs import OutputPaths

        return OutputPaths(
            result,
            self.frames,
            self.save_every,
            self.timelapse,
            self.plot,
            self.report,
            saving,
            self.checkpoint or self.resume,
        )

    def job_spec(self, inputs: "InputPaths", image: Path, saving: SaveOptions) -> "JobSpec":
        """Return the job with these options."""
        return JobSpec(
            inputs,
            self.outputs(image, saving),
            checkpoint=self.checkpoint,
            checkpoint_every=self.checkpoint_every,
            resume=self.resume,
            memory=self.memory,
        )


SWEEP_SIZE = 256
"""Default longest side of an image on the sheet of a sweep in pixels."""

FIGURE_SIZE = 192
"""Default longest side of each image of a figure in pixels."""

FIGURE_EVALUATIONS = 60
"""Default number of evaluations of each image of a figure."""

NAME_FIELD = "{name}"
"""Placeholder for the name of each image in paths."""


def parse_region(text: str, drives: bool = os.name == "nt") -> tuple[str, ...]:
    """Split MASK:STYLE or MASK:STYLE:STYLE_MASK. Raises SettingError for anything else.

    File names may contain colons: the text is split so that all files exist, if possible. With
    ``drives``, a single letter before a colon is a drive. A leading ``~`` in a path is the home
    folder of the user.
    """
    colon = r"(?<!^[A-Za-z])(?<!:[A-Za-z]):" if drives else ":"
    pieces = re.split(colon, text)
    default = tuple(os.path.expanduser(piece) for piece in pieces)
    cuts = [_join_pieces(pieces, places) for places in _iter_cuts(len(pieces))]
    region = next((cut for cut in cuts if all(map(os.path.exists, cut))), default)
    if len(region) not in (2, 3) or not all(region):
        raise SettingError(f"region {text!r}: expected MASK:STYLE or MASK:STYLE:STYLE_MASK")
    return region


def _iter_cuts(pieces: int) -> Iterator[tuple[int, ...]]:
    """Yield the ways to split N pieces into two or three groups."""
    for count in (1, 2):
        yield from itertools.combinations(range(1, min(pieces, 12)), count)


def _join_pieces(pieces: Sequence[str], places: Sequence[int]) -> tuple[str, ...]:
    """Return pieces joined again, except at these positions."""
    bounds = itertools.pairwise((0, *places, len(pieces)))
    return tuple(os.path.expanduser(":".join(pieces[begin:end])) for begin, end in bounds)


def as_path_arg(path: str) -> str:
    """Return a path for the command line, so that a leading dash is not read as an option.

    >>> as_path_arg("-1.png"), as_path_arg("a.png")
    ('./-1.png', 'a.png')
    """
    return f"./{path}" if path.startswith("-") else path


def _as_arg(path: str) -> str:
    return path if path == "-" else as_path_arg(path)  # which is standard input


@dataclass(frozen=True)
class InputPaths:
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
    ) -> "InputPaths":
        """Parse arguments of the command line."""
        home = os.path.expanduser
        return cls(
            home(content),
            [home(each) for each in style or []],
            [parse_region(each) for each in region or []],
            home(keep) if keep else keep,
        )

    def to_args(self) -> list[str]:
        """Return the arguments for the command line."""
        named = self.replace_path(self.piped, "-") if self.piped else self
        regions = (("--region", ":".join(map(_as_arg, each))) for each in named.regions)
        keep = ["--keep", _as_arg(named.keep)] if named.keep else []
        return [*map(_as_arg, (named.content, *named.styles)), *itertools.chain(*regions), *keep]

    def replace_path(self, path: str, other: str) -> "InputPaths":
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

    def absolute(self) -> "InputPaths":
        """Return a copy with absolute paths, for a process in another folder."""
        absolute = os.path.abspath
        return InputPaths(
            absolute(self.content) if self.content else "",
            [absolute(each) for each in self.styles],
            [tuple(map(absolute, each)) for each in self.regions],
            absolute(self.keep) if self.keep else self.keep,
        )

    def paths(self) -> tuple[str, ...]:
        """Return all paths."""
        named = (self.content, *self.styles, *itertools.chain(*self.regions), self.keep)
        return tuple(path for path in named if path)

    def stem(self) -> str:
        """Return a name for the result, derived from those of its inputs."""
        styles = [*self.styles, *(style for _, style, *_ in self.regions)]
        return "-".join(Path(path).stem for path in (self.content, *dict.fromkeys(styles)))


@dataclass(frozen=True)
class JobSpec:
    """One job: the paths of its inputs and outputs, its recipe, checkpoint and memory limit."""

    inputs: InputPaths
    outputs: "OutputPaths"
    checkpoint: Path | None = None
    """file for the state of the run; None for no checkpoint"""
    checkpoint_every: float = recipes.CHECKPOINT_EVERY
    """seconds between checkpoints"""
    resume: Path | None = None
    """checkpoint to resume from; None for a new run"""
    recipe: Recipe | None = None
    """None for that of the stylizer"""
    provenance: "Provenance | None" = None
    """provenance of the result whose recipe is used"""
    weights_file: Path | None = None
    """weights of the network; None for the installed ones"""
    memory: str | None = None
    """memory limit, such as 4GB; None for the memory that is free"""

    def to_args(self, recipe: Recipe) -> list[str]:
        """Return the command that, with ``--resume CHECKPOINT``, resumes this job.

        It has the paths of inputs and outputs. A checkpoint has all other settings of ``recipe``.
        """
        args = ["impasto", "stylize", *self.inputs.to_args(), *self.outputs.to_args()]
        args += ["--weights", as_path_arg(str(self.weights_file))] if self.weights_file else []
        init = recipe.init
        return args + ([] if init in recipes.STARTS else ["--init", as_path_arg(init)])
