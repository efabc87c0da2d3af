"""The public API: one network, many runs, each a generator of events.

The command line, batches, sweeps, the studio and forecasts also use :class:`Stylizer`.
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
from impasto.images import arrays
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
from impasto.recipe import presets
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe, Settings

if TYPE_CHECKING:
    from impasto.painting.painter import Painter

Event: TypeAlias = Happening | Painted

Listener: TypeAlias = Callable[[Happening], object]
"""Receives each event in order; returning False stops the run with the best image so far."""


class Wanted(TypedDict, total=False):
    """Options of a run besides the content image, the style images and the settings."""

    regions: Sequence[Region | tuple[PictureLike, ...]]
    """regions with their own style images, each (mask, style) or (mask, style, style mask); masks
    are gray images of any size, white inside the region. The rest of the image takes the style,
    or stays unchanged without one"""
    keep: PictureLike | None
    """mask of the region that stays unchanged"""
    checkpoint: str | os.PathLike[str] | None
    """file for the state of the run; removed when the run is complete"""
    checkpoint_every: float
    """seconds between two checkpoints; one is also written when the run is stopped"""
    memory: str | float | None
    """memory limit in bytes, or as text such as "3GB"; by default the memory that is free"""
    resume: str | os.PathLike[str] | None
    """checkpoint to resume from, with the same inputs. New checkpoints go to the same file unless
    ``checkpoint`` is given. Settings are those of the checkpoint; given settings must agree"""


class Asked(Wanted, Settings, total=False):
    """All keyword arguments of :func:`stylize`: :class:`Wanted` and the settings."""


class Stylizer:
    """Paints many images with one network, which is loaded for the first run.

    As a context manager it frees the network at the end. A stylizer may be used in any thread, but
    only in one at a time; several stylizers may run concurrently. The Keras engine raises a
    BackendError in a process that was forked after a tensor library was loaded.

    Example::

        with impasto.Stylizer(strength=0.6) as stylizer:
            for event in stylizer.paint("photo.jpg", "painting.jpg"):
                if isinstance(event, impasto.Painted):
                    event.result.save("result.png")
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
        """Validate the settings. Nothing is loaded before the first run.

        Args:
            recipe: all settings; ``settings`` override some
            weights_file: file with the weights of the network, instead of the default sources
            workers: number of worker processes for tiles on this machine, or the address of a Dask
                scheduler, such as ``"tcp://host:8786"``
            preset: preset to start from if there is no recipe, built-in or from the user's file
            **settings: fields of :class:`impasto.Recipe`

        Raises:
            SettingError: for invalid settings
            WeightsError: for a missing weights file
        """
        self.workers = as_workers(workers)
        if recipe is None:
            self._named = recipes.preset_settings(preset, presets.available_presets(), **settings)
            self.recipe = Recipe(**self._named)
        else:
            self.recipe = recipes.change_recipe(recipe, **settings)
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
        """Free the network."""
        if "_painter" in vars(self):
            self._painter.forget()

    def dismiss(self) -> None:
        """Close the workers, if any; the next run starts them again."""
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
        """Read and validate all inputs. Takes the arguments of :meth:`paint`.

        Args:
            content: the content image
            style: one or more style images
            recipe: settings for this run, instead of those of the stylizer
            **wanted: see :class:`Wanted`

        Raises:
            InputError: for an invalid image, setting or checkpoint
            TypeError: for an unknown keyword; settings belong to the stylizer or the recipe
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
        chosen = sized(chosen, arrays.size_of(inputs.photograph))
        levels = pyramid.schedule(*arrays.size_of(inputs.content), chosen)
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
        """Paint ``content`` in the style of ``style``; return a generator of events.

        The last event is a :class:`Painted` with the result. Stop iterating to stop the run;
        :meth:`so_far` then returns the best image. Inputs are validated when this method is called.

        Args:
            content: the content image, see :func:`stylize`
            style: one or more style images
            recipe: settings for this run, instead of those of the stylizer
            **wanted: see :class:`Wanted`

        Raises:
            InputError: for an invalid image, setting or checkpoint
            TypeError: for an unknown keyword
        """
        return self._painted(self.prepare(content, style, recipe=recipe, **wanted))

    def _painted(self, prepared: Prepared) -> Iterator[Event]:
        for event in self.run(prepared):
            if isinstance(event, Painted):
                settle(prepared, event.result)
            yield event

    def run(self, prepared: Prepared) -> Iterator[Event]:
        """Run a prepared job; return a generator of events. The final checkpoint is not removed.

        Raises:
            CheckpointError: if the state to resume from was made by another backend or solver
            WeightsError: if the weights cannot be loaded
            BackendError: if the backend cannot be used
        """
        self._controls, self._recipe = Controls(), prepared.recipe
        return self._pulled(prepared, self._controls)

    def _pulled(self, prepared: Prepared, controls: Controls) -> Iterator[Event]:
        """Load the modules of the engine when the first event is requested."""
        yield from self._painter.run(prepared, controls)

    def so_far(self) -> Result | None:
        """Return the best image of the current or last run; None if there is none."""
        return self._painter.so_far()

    def steer(self, **settings: Unpack[Settings]) -> None:
        """Change strength, weights or evaluations of the current run, from its next step on.

        Needs no recompilation. Raises SettingError for other settings and for invalid values.
        """
        self._recipe = self._controls.steer(self._recipe, **settings)

    def stop(self) -> None:
        """Stop the current run after its next step, with the best image so far."""
        self._controls.stop()

    def load(self) -> None:
        """Load the engine and the network now instead of in the first run.

        Raises WeightsError or BackendError if they cannot be loaded.
        """
        self._painter.models.get(self.recipe)

    def forecast(self, prepared: Prepared, held: float = 0.0, measure: bool = False) -> Forecast:
        """Return the expected time and memory of a run, from the stored measurement of the machine.

        Without one, or with ``measure``, this measures the machine, which takes seconds, and stores
        the measurement. ``held`` is additional memory in bytes, such as that of video frames.
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
    """Return the number of workers, 0 for none, or the address of a scheduler.

    Raises SettingError for other values, or if Dask is not installed.

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
            f"workers is {given!r}: expected a number of workers, or the address of a "
            "scheduler such as tcp://host:8786"
        )
    if workers and importlib.util.find_spec("distributed") is None:
        raise SettingError("workers need additional packages: pip install 'impasto[cluster]'")
    return workers


def _check_wanted(names: Iterable[str]) -> None:
    """Raise TypeError for a name that is not in :class:`Wanted`, such as a setting."""
    for name in names:
        if name not in Wanted.__annotations__:
            known = ", ".join(("recipe", *Wanted.__annotations__))
            advice = "; settings are given to Stylizer(...), or in a recipe"
            raise TypeError(f"unexpected argument {name!r}{advice}; possible: {known}")


def settle(prepared: Prepared, result: Result) -> None:
    """Remove the checkpoint of a complete run; write that of an incomplete one."""
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
    """Paint the content image in the style of the style image.

    In a notebook, the first Ctrl-C or Interrupt stops the run with the best image so far.

    Args:
        content: path, bytes, stream, Pillow image, tensor, or array of shape (height, width, 3) or
            (height, width)
        style: the same, or a list of style images, weighted by the setting ``blend``
        listener: receives each event; returning False stops the run with the best image so far
        progress: whether to show a progress bar in a terminal or a notebook
        weights_file: file with the weights of the network, instead of the default sources
        workers: number of worker processes for tiles on this machine, or the address of a Dask
            scheduler
        recipe: all settings; those given by name override some
        preset: preset to start from, built-in or from the user's file
        **asked: see :class:`Wanted`, and fields of :class:`impasto.Recipe`

    Returns:
        The result; ``numpy.asarray(result)`` is its 8-bit image.

    Raises:
        InputError: before the run, for an invalid image, setting, checkpoint or output
        WeightsError: if the weights of the network cannot be loaded
        BackendError: if the backend cannot be used
        ClusterError: if there are no workers

    Example::

        result = impasto.stylize("photo.jpg", "painting.jpg", size=384, strength=0.6)
        result.save("result.png")
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
    """Consume the events of a run, and return its result."""
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
    raise ImpastoError("the run ended without a result")
