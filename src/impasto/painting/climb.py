"""The facade: the one place where objective, optimizer and schedule meet."""

import dataclasses
import gc
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from impasto import files
from impasto.compute import backend, host
from impasto.errors import CheckpointError
from impasto.losses import objective
from impasto.network import vgg, weights
from impasto.network.vgg import Features
from impasto.painting import checkpoints
from impasto.painting.checkpoints import Checkpoint, Keeper
from impasto.painting.events import LevelFinished, Listener, Record
from impasto.painting.inputs import Inputs, PictureLike, Region, prepare, start
from impasto.painting.journal import Clock, Journal
from impasto.painting.provenance import Provenance, Source
from impasto.painting.pyramid import Level, lower, schedule
from impasto.pictures import colors, encode, masks, metadata, raster
from impasto.pictures.guidance import at_level
from impasto.pictures.masks import Mask
from impasto.pictures.metadata import UNKNOWN, Metadata
from impasto.pictures.raster import Picture
from impasto.pictures.saving import USUAL, Saving
from impasto.recipe import presets
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class Result:
    """A painted picture and how it came about."""

    picture: Picture
    """float32 (height, width, 3), RGB in [0, 255], clipped"""
    recipe: Recipe
    network: Mapping[str, str]
    """name, source and sha256 of the weights"""
    backend: str
    precision: str
    seconds: Mapping[str, float]
    """total, and by stage: network, targets, painting; reading and writing files not counted"""
    levels: tuple[LevelFinished, ...]
    history: tuple[Record, ...]
    """one record for every evaluation"""
    stopped: bool
    """whether the listener stopped the work before its end"""
    lowered: bool
    """whether memory ran out, so that the finest level was painted smaller and carried up"""
    inputs: tuple[Source, ...] = ()
    """the pictures that were read"""
    alpha: Mask | None = None
    """(height, width), how opaque the photograph is; None all over"""
    metadata: Metadata = UNKNOWN
    """what the photograph's file says of it"""

    @property
    def image(self) -> Image.Image:
        """The picture as an 8-bit Pillow image, RGB or RGBA."""
        return encode.to_image(self.picture, self.alpha)

    def save(self, path: str | os.PathLike[str], saving: Saving = USUAL) -> None:
        """Write the picture, its recipe within; the ending chooses the format.

        What the photograph's file says of it goes along, but for where it was taken, unless
        ``saving`` asks for it. Raises PictureError, and SettingError for a format that cannot be
        written so.
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
        return _provenance(
            self.recipe,
            self.precision,
            self.network,
            self.inputs,
            self.backend,
            self.finished,
        )

    def report(self) -> dict[str, Any]:
        """Return everything but the picture, as JSON takes it."""
        return {
            "recipe": dataclasses.asdict(self.recipe),
            "weights": dict(self.network),
            "backend": self.backend,
            "precision": self.precision,
            "seconds": dict(self.seconds),
            "evaluations": len(self.history),
            "levels": [dataclasses.asdict(level) for level in self.levels],
            "history": [dataclasses.asdict(record) for record in self.history],
        }


def _provenance(
    recipe: Recipe,
    precision: str,
    network: Mapping[str, str],
    inputs: tuple[Source, ...],
    running: str,
    finished: bool,
) -> Provenance:
    said = {name: network[name] for name in ("network", "sha256")}
    used = replace(recipe, precision=precision, init=os.path.basename(recipe.init))
    return Provenance(used, running, said, inputs, finished)


def stylize(
    content: PictureLike,
    style: PictureLike | Sequence[PictureLike] | None = None,
    *,
    regions: Sequence[Region | tuple[PictureLike, ...]] = (),
    keep: PictureLike | None = None,
    listener: Listener | None = None,
    weights_file: str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = recipes.CHECKPOINT_EVERY,
    resume: str | os.PathLike[str] | None = None,
    preset: str = recipes.DEFAULT,
    **settings: Any,
) -> Result:
    """Repaint the photograph ``content`` in the manner of the painting ``style``.

    Parameters
    ----------
    content, style : path, Pillow image, or array (height, width, 3) or (height, width); several
        paintings as a list, whose shares the setting ``blend`` gives
    regions : places with paintings of their own, each (mask, painting) or (mask, painting, mask of
        the painting); masks are gray pictures of any size, white in the place. What no mask
        covers takes ``style``, or stays the photograph without one
    keep : mask of what stays the photograph
    listener : told every event; returning False stops the work, the best picture so far is kept
    weights_file : a file with the network's weights, instead of the usual sources
    checkpoint : a file that the state of the work is saved to every ``checkpoint_every`` seconds,
        and when the listener stops it; it is removed when the work is done
    resume : a checkpoint to go on from, with the same pictures; it is saved to as well, unless
        ``checkpoint`` names another file. Settings are the checkpoint's, those given must be too
    preset : the set of settings to start from, built in or of the user's own file
    **settings : any field of :class:`impasto.Recipe`

    Raises
    ------
    SettingError, PictureError, CheckpointError
        before any painting starts, for what cannot be used
    WeightsError, BackendError
        where the network's weights cannot be had, or Keras's backend cannot be used
    """
    named = recipes.named(preset, presets.available(), **settings)
    before = None if resume is None else checkpoints.read(resume)
    chosen = Recipe(**named) if before is None else checkpoints.recipe_of(before, named)
    keeper = Keeper(checkpoints.place(checkpoint, resume), checkpoint_every)
    weights.check_file(weights_file)
    inputs = prepare(chosen, content, style, regions, keep)
    if before is not None:
        levels = schedule(*raster.size_of(inputs.content), chosen)
        checkpoints.check(before, inputs.sources, levels)
    engines = Engines(weights_file)
    try:
        result = paint(inputs, chosen, listener or (lambda event: None), engines, keeper, before)
        if result.finished:
            keeper.remove()
        else:
            keeper.save()
    finally:
        del keeper  # what it would save refers to the network
        engines.forget()
    return result


def paint(
    inputs: Inputs,
    recipe: Recipe,
    listener: Listener,
    engines: "Engines",
    keeper: Keeper | None = None,
    before: Checkpoint | None = None,
) -> Result:
    """Paint pictures that were read and checked; see :func:`stylize`.

    ``keeper`` is offered the state under way; ``before`` is one to go on from, checked too.
    Raises CheckpointError if it is of another backend, or its optimizer's state is none.
    """
    if before is not None and before.provenance.backend != backend.name():
        raise CheckpointError(
            f"the checkpoint was begun on {files.shown(before.provenance.backend)}, and this is "
            f"{backend.name()}: set KERAS_BACKEND to go on there"
        )
    clock = Clock(before.seconds if before else {})
    engine = engines.get(recipe)
    clock.lap("network")
    origin = _provenance(
        recipe, engine.precision, engine.network, inputs.sources, backend.name(), finished=False
    )
    journal = Journal(recipe, listener, clock, origin, keeper or Keeper(), before)
    with host.one_blas_thread():  # once, since setting and lifting it takes its time
        picture = _climb(inputs, engine, journal)
    return Result(
        picture=np.clip(picture, 0.0, 255.0),
        recipe=recipe,
        network=engine.network,
        backend=backend.name(),
        precision=engine.precision,
        seconds={"total": clock.seconds(), **clock.stages},
        levels=tuple(journal.levels),
        history=tuple(journal.history),
        stopped=journal.stopped,
        lowered=journal.lowered,
        inputs=inputs.sources,
        alpha=None if inputs.alpha is None else masks.resize(inputs.alpha, *picture.shape[:2]),
        metadata=inputs.metadata,
    )


@dataclass(frozen=True)
class _Engine:
    """What all levels share: the network and the compiled loss."""

    network: Mapping[str, str]
    precision: str
    features: Features
    step: objective.Step


class Engines:
    """Networks and compiled losses, kept for the next picture whose recipe needs the same."""

    def __init__(self, weights_file: str | os.PathLike[str] | None = None) -> None:
        self.weights_file = weights_file
        self._made: dict[tuple[Any, ...], _Engine] = {}

    @staticmethod
    def key(recipe: Recipe) -> tuple[Any, ...]:
        """Return the settings that a network and its compiled loss depend on."""
        names = [name for name, *_ in recipes.settings() if name not in _NOT_COMPILED]
        return tuple(getattr(recipe, name) for name in names)

    def get(self, recipe: Recipe) -> _Engine:
        """Return what a recipe needs; one is kept, since each holds a network in memory."""
        key = self.key(recipe)
        if key not in self._made:
            if self._made:
                self.forget()
            self._made[key] = _engine(recipe, self.weights_file)
        return self._made[key]

    def forget(self) -> None:
        """Give back the memory of what was made.

        Networks refer to themselves: Python alone would leave them for several pictures more.
        """
        self._made.clear()
        gc.collect()


# Settings that another network or loss need not be compiled for. A new one is compiled for, until
# it is known not to matter.
_NOT_COMPILED = {
    *("size", "blend", "style_scale", "colors", "init", "seed"),
    *("strength", "content_weight", "style_weight", "tv_weight"),
    *("optimizer", "levels", "evaluations"),
}


def _engine(recipe: Recipe, weights_file: str | os.PathLike[str] | None) -> _Engine:
    loaded = weights.load(recipe.network, weights_file)
    precision = vgg.resolve_precision(recipe.precision)
    features = vgg.build(loaded, recipe.layers, recipe.pooling, precision, recipe.padding)
    # What is said of the weights, and not their tensors, which the network holds in its own form.
    network = {
        "network": recipe.network,
        "source": loaded.source,
        "sha256": loaded.network.sha256,
    }
    step = objective.compiled_step(features, recipe)
    return _Engine(network, precision, backend.traced(features), step)


def _climb(inputs: Inputs, engine: _Engine, journal: Journal) -> Picture:
    """Paint from coarse to fine: every level starts from the change the one before it made.

    The result always has the finest level's size: if the work was stopped before, or memory ran
    out, the change made so far is carried up.
    """
    levels = schedule(*raster.size_of(inputs.content), journal.recipe)
    before, content = journal.before, None
    picture = None if before is None else before.picture
    for level in levels[before.level - 1 if before else 0 :]:
        coarse, content = content, raster.resize(inputs.content, level.height, level.width)
        if picture is None:
            picture = start(inputs, content, journal.recipe)
        if coarse is not None:
            picture = raster.carry_up(picture, coarse, content)
        if not journal.ended:
            picture = _paint_level(level, len(levels), inputs, content, picture, engine, journal)
    assert picture is not None  # there is a level at least
    return _finished(picture, inputs, journal.recipe)


def _paint_level(
    level: Level,
    levels: int,
    inputs: Inputs,
    content: Picture,
    picture: Picture,
    engine: _Engine,
    journal: Journal,
) -> Picture:
    """Paint a level; what does not fit into memory is painted smaller, and carried up."""
    recipe = replace(journal.recipe, style_weight=level.style * journal.recipe.style_weight)
    try:
        task = level_objective(engine, recipe, inputs, content)
        journal.clock.lap("targets")
        painted = journal.run(
            level, levels, task, picture, lambda each: _finished(each, inputs, journal.recipe)
        )
        journal.clock.lap("painting")
        return painted
    except Exception as error:
        if not backend.ran_out_of_memory(error):
            raise
    # Outside of the handler, where the error would hold on to what filled the memory.
    picture = journal.ran_out_of_memory(level, picture)
    smaller = lower(level, journal.pixels)
    if smaller is None:
        if not journal.history:
            raise MemoryError
        return picture
    coarse = raster.resize(inputs.content, smaller.height, smaller.width)
    picture = raster.carry_up(picture, content, coarse)
    picture = _paint_level(smaller, levels, inputs, coarse, picture, engine, journal)
    return raster.carry_up(picture, coarse, content)


def level_objective(
    engine: _Engine, recipe: Recipe, inputs: Inputs, content: Picture
) -> objective.Objective:
    """Return what is minimized at the size of ``content``, its targets computed."""
    size = raster.size_of(content)
    field = weights.NETWORKS[recipe.network].receptive_field
    targets = objective.freeze(
        engine.features, recipe, content, at_level(inputs.places, *size), field
    )
    task: objective.Objective = objective.WholePicture(engine.step, targets)
    if inputs.keep is None:
        return task
    return objective.Kept(task, content, masks.resize(inputs.keep, *size)[..., None])


def _finished(picture: Picture, inputs: Inputs, recipe: Recipe) -> Picture:
    """Return a painted picture with the photograph's colors, and places, that are to remain."""
    if recipe.colors != "content" and inputs.keep is None:
        return picture
    size = raster.size_of(picture)
    photograph = raster.resize(inputs.photograph, *size)
    if recipe.colors == "content":
        picture = colors.with_colors_of(picture, photograph)
    if inputs.keep is None:
        return picture
    keep = masks.resize(inputs.keep, *size)[..., None]
    return masks.compose(keep, photograph, picture)
