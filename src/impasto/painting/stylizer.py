"""The front door: one network, many pictures, each a stream of events.

Everything that paints goes through here: Python, the command line, batches, sweeps, forecasts.
"""

import builtins
import contextlib
import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias, TypedDict, Unpack

from impasto.errors import ImpastoError, SettingError
from impasto.network import weights
from impasto.painting import checkpoints, forecast, interrupts, measurements, memory, pyramid
from impasto.painting import progress as bars
from impasto.painting.checkpoints import Keeper
from impasto.painting.controls import Controls
from impasto.painting.events import Happening
from impasto.painting.forecast import Forecast
from impasto.painting.inputs import PictureLike, Region, prepare, sized
from impasto.painting.preparing import Prepared
from impasto.painting.result import Painted, Result
from impasto.pictures import raster
from impasto.recipe import presets
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe, Settings

if TYPE_CHECKING:
    from impasto.painting.painter import Painter

Event: TypeAlias = Happening | Painted

Listener: TypeAlias = Callable[[Happening], object]
"""Told every event, in order; returning False stops the work with the best picture so far."""


class Wanted(TypedDict, total=False):
    """What may be wanted of a painting beside the photograph and the style."""

    regions: Sequence[Region | tuple[PictureLike, ...]]
    """parts with paintings of their own, each (mask, painting) or (mask, painting, mask of the
    painting); masks are gray pictures of any size, white in the region. What no mask covers takes
    the style, or stays the photograph without one"""
    keep: PictureLike | None
    """mask of what stays the photograph"""
    checkpoint: str | os.PathLike[str] | None
    """a file that the state of the work is saved to, and that is removed when the work is done"""
    checkpoint_every: float
    """seconds between two such times; it is saved when the work is stopped as well"""
    memory: str | float | None
    """how much memory may be used, in bytes or in words such as "3GB"; without it what is free"""
    resume: str | os.PathLike[str] | None
    """a checkpoint to go on from, with the same pictures; it is saved to as well, unless
    ``checkpoint`` names another file. Settings are the checkpoint's, those given must be too"""


class Asked(Wanted, Settings, total=False):
    """All that :func:`stylize` takes by name: :class:`Wanted`, and every setting."""


class Stylizer:
    """Paints pictures with one network, which is loaded for the first and kept for the others.

    A context manager: at its end the network's memory is given back. May be used in any thread,
    one at a time; several may be used at once. Not in a process that was forked after a tensor
    library was loaded, which a BackendError says.

    ::

        with impasto.Stylizer(strength=0.6) as stylizer:
            for event in stylizer.paint("photo.jpg", "painting.jpg"):
                ...
    """

    def __init__(
        self,
        recipe: Recipe | None = None,
        *,
        weights_file: str | os.PathLike[str] | None = None,
        workers: int | str | None = None,
        preset: str = recipes.DEFAULT,
        **settings: Unpack[Settings],
    ) -> None:
        """Choose settings; nothing is loaded before the first picture.

        Parameters
        ----------
        recipe : all settings, of which ``settings`` change some
        weights_file : a file with the network's weights, instead of the usual sources
        workers : how many processes on this machine share the work on a picture in tiles, or the
            address of a Dask scheduler of workers, such as ``"tcp://host:8786"``
        preset : without a recipe, the set of settings to start from, built in or of the user's own
            file
        **settings : any field of :class:`impasto.Recipe`

        Raises
        ------
        SettingError for settings that cannot be, WeightsError for a weights file that is not there
        """
        self.workers = as_workers(workers)
        if recipe is None:
            self._named = recipes.named(preset, presets.available(), **settings)
            self.recipe = Recipe(**self._named)
        else:
            self.recipe = recipes.change(recipe, **settings)
            self._named = dict(vars(self.recipe))
        weights.check_file(weights_file)
        self.weights_file = weights_file
        self._controls, self._recipe = Controls(), self.recipe

    def __enter__(self) -> "Stylizer":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give back the network's memory."""
        if "_painter" in vars(self):
            self._painter.forget()

    def dismiss(self) -> None:
        """Let workers go, if there are any; the next picture hires them again."""
        if "_painter" in vars(self):
            self._painter.dismiss()

    def prepare(
        self,
        content: PictureLike,
        style: PictureLike | Sequence[PictureLike] | None = None,
        *,
        recipe: Recipe | None = None,
        **wanted: Unpack[Wanted],
    ) -> Prepared:
        """Read and check the pictures, before anything slow; takes what :meth:`paint` takes.

        ``recipe`` stands in for the stylizer's own, for this picture. Raises TypeError for other
        names: settings are the stylizer's, or the recipe's.
        """
        _check_wanted(wanted)
        resume = wanted.get("resume")
        before = None if resume is None else checkpoints.read(resume)
        chosen = recipe or self.recipe
        if before is not None:
            chosen = checkpoints.recipe_of(before, vars(recipe) if recipe else self._named)
        place = checkpoints.place(wanted.get("checkpoint"), resume)
        keeper = Keeper(place, wanted.get("checkpoint_every", recipes.CHECKPOINT_EVERY))
        most = memory.amount(wanted.get("memory"))
        regions, keep = wanted.get("regions", ()), wanted.get("keep")
        inputs = prepare(chosen, content, style, regions, keep, most)
        if self.workers:
            here = self.workers if isinstance(self.workers, int) else 0
            inputs = replace(inputs, work=replace(inputs.work, workers=here))
        chosen = sized(chosen, raster.size_of(inputs.photograph))
        levels = pyramid.schedule(*raster.size_of(inputs.content), chosen)
        if before is not None:
            checkpoints.check(before, inputs.sources, levels)
        plan = memory.plan(inputs.work, most)
        return Prepared(chosen, inputs, levels, keeper, before, plan, most)

    def paint(
        self,
        content: PictureLike,
        style: PictureLike | Sequence[PictureLike] | None = None,
        *,
        recipe: Recipe | None = None,
        **wanted: Unpack[Wanted],
    ) -> Iterator[Event]:
        """Repaint the photograph ``content`` in the manner of ``style``; yields what happens.

        ``recipe`` stands in for the stylizer's own, for this picture.

        The last event is a :class:`Painted`, with the result. Whoever stops pulling has stopped
        the work; :meth:`so_far` then has its best picture. See :func:`stylize` for the
        parameters, and for what is raised, at once.
        """
        return self._painted(self.prepare(content, style, recipe=recipe, **wanted))

    def _painted(self, prepared: Prepared) -> Iterator[Event]:
        for event in self.run(prepared):
            if isinstance(event, Painted):
                settle(prepared, event.result)
            yield event

    def run(self, prepared: Prepared) -> Iterator[Event]:
        """Paint what was prepared, and yield what happens; the checkpoint at the end is left.

        Raises CheckpointError if the state to go on from is of another backend, or not its
        solver's; WeightsError and BackendError where there is nothing to paint with.
        """
        self._controls, self._recipe = Controls(), prepared.recipe
        return self._pulled(prepared, self._controls)

    def _pulled(self, prepared: Prepared, controls: Controls) -> Iterator[Event]:
        """Load the tensor library when the first event is pulled, and not before."""
        yield from self._painter.run(prepared, controls)

    def so_far(self) -> Result | None:
        """Return the best picture so far of the painting under way, or left; None without one."""
        return self._painter.so_far()

    def steer(self, **settings: Unpack[Settings]) -> None:
        """Change strength, weights or evaluations of the painting under way, from its next step on.

        Nothing is compiled anew. Raises SettingError for other settings, and for impossible ones.
        """
        self._recipe = self._controls.steer(self._recipe, **settings)

    def stop(self) -> None:
        """End the painting under way after its next step, with the best picture so far."""
        self._controls.stop()

    def load(self) -> None:
        """Load the tensor library and the network now, and not with the first picture.

        Raises WeightsError and BackendError where there is nothing to paint with.
        """
        self._painter.models.get(self.recipe)

    def forecast(self, prepared: Prepared, held: float = 0.0, measure: bool = False) -> Forecast:
        """Return what a painting will take, by the stored measurement of this machine.

        Without a stored one, or with ``measure``, it paints a little, which takes seconds, and
        stores what that took. ``held`` is the bytes of memory that are kept besides, such as the
        frames of a film.
        """
        measured = None if measure else forecast.known(prepared)
        if measured is None:
            measured = self._painter.measure(prepared)
            measurements.store(prepared.recipe, len(prepared.inputs.regions), measured)
        return forecast.make(prepared, measured, held)

    @cached_property
    def _painter(self) -> "Painter":
        from impasto.painting.painter import Painter  # loads the tensor library

        return Painter(self.weights_file, self.workers)


def as_workers(given: int | str | None) -> int | str:
    """Return a number of workers, 0 for none, or the address of a scheduler.

    Raises SettingError for what is neither, or if what it needs is not installed.

    >>> as_workers(None)
    0
    """
    text = str(given or 0).strip()
    if text.isdigit():
        workers: int | str = int(text)
    elif re.fullmatch(r"[a-z]+://[^/\s]+:\d+", text):
        workers = text
    else:
        raise SettingError(
            f"workers is {given!r}: expected how many on this machine, or the address of a "
            "scheduler such as tcp://host:8786"
        )
    if workers and importlib.util.find_spec("distributed") is None:
        raise SettingError("workers need another package: pip install 'impasto[cluster]'")
    return workers


def _check_wanted(names: Iterable[str]) -> None:
    """Raise TypeError for a name that :class:`Wanted` does not have, such as a setting's."""
    for name in names:
        if name not in Wanted.__annotations__:
            known = ", ".join(("recipe", *Wanted.__annotations__))
            advice = "; settings are given to Stylizer(...), or in a recipe"
            raise TypeError(f"one picture takes {known}, and no {name!r}{advice}")


def settle(prepared: Prepared, result: Result) -> None:
    """Remove the checkpoint of a painting that is done; write that of one that is not."""
    if result.finished:
        prepared.keeper.remove()
    else:
        prepared.keeper.save()


def stylize(
    content: PictureLike,
    style: PictureLike | Sequence[PictureLike] | None = None,
    *,
    listener: Listener = lambda event: None,
    progress: bool = False,
    weights_file: str | os.PathLike[str] | None = None,
    workers: int | str | None = None,
    recipe: Recipe | None = None,
    preset: str = recipes.DEFAULT,
    **asked: Unpack[Asked],
) -> Result:
    """Repaint the photograph ``content`` in the manner of the painting ``style``.

    Parameters
    ----------
    content, style : path, Pillow image, or array (height, width, 3) or (height, width); several
        paintings as a list, whose shares the setting ``blend`` gives
    listener : told every event; returning False stops the work, the best picture so far is kept
    progress : whether to show a bar, at a terminal or in a notebook
    weights_file : a file with the network's weights, instead of the usual sources
    workers : how many processes on this machine share the work on a picture in tiles, or the
        address of a Dask scheduler of workers
    recipe : all settings, of which those that are named change some
    preset : the set of settings to start from, built in or of the user's own file
    **asked : any of :class:`Wanted`, and any field of :class:`impasto.Recipe`

    In a notebook the first Ctrl-C, or Interrupt, stops the work with the best picture so far.

    Raises
    ------
    SettingError, PictureError, OutputError, CheckpointError
        before any painting starts, for what cannot be used
    WeightsError, BackendError
        where the network's weights cannot be had, or Keras's backend cannot be used
    ClusterError
        where there are no workers
    """
    wanted: Wanted = {name: asked[name] for name in Wanted.__annotations__ if name in asked}  # type: ignore[assignment,literal-required]
    settings: Settings = {name: asked[name] for name in asked if name not in wanted}  # type: ignore[assignment,literal-required]
    with Stylizer(
        recipe, weights_file=weights_file, workers=workers, preset=preset, **settings
    ) as stylizer:
        prepared = stylizer.prepare(content, style, **wanted)
        result = _drained(stylizer, prepared, listener, progress)
        settle(prepared, result)
    return result


def _drained(stylizer: Stylizer, prepared: Prepared, listener: Listener, bar: bool) -> Result:
    """Pull a painting to its end, and return its result."""
    with contextlib.ExitStack() as stack:
        events = stylizer.run(prepared)
        if hasattr(builtins, "__IPYTHON__"):
            heard = stack.enter_context(interrupts.heard(stylizer.stop))
            events = heard.pulled(events)
        shown = stack.enter_context(bars.shown()) if bar else None
        if shown is not None:
            shown.begin("", prepared.levels, forecast.expected(prepared))
        for event in events:
            if isinstance(event, Painted):
                return event.result
            if shown is not None:
                shown.show(event)
            if listener(event) is False:
                stylizer.stop()
    raise ImpastoError("the painting ended without a picture")
