"""The public API: one network, many runs, each a generator of events.

The command line, batches, sweeps, the studio and forecasts also use :class:`Stylizer`.
"""

from __future__ import annotations  # signatures show the names of types, such as ImageLike

import builtins
import contextlib
import importlib
import os
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

from impasto import extras, filearray
from impasto.errors import ImpastoError, SettingError
from impasto.images import arrays, load
from impasto.images.load import ImageLike, Region
from impasto.network import weights
from impasto.pipeline import (
    asynchronous,
    checkpoints,
    forecast,
    interrupts,
    measurements,
    memory,
    pyramid,
)
from impasto.pipeline import progress as bars
from impasto.pipeline.checkpoints import CheckpointWriter
from impasto.pipeline.events import Controls, ProgressEvent
from impasto.pipeline.forecast import Forecast
from impasto.pipeline.inputs import PreparedRun, load_inputs, with_size
from impasto.pipeline.result import Finished, Result
from impasto.pipeline.video_events import VideoEvent, VideoOptions
from impasto.recipe import presets
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe, Settings
from impasto.recipe.signature import document_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from impasto.losses.objective import Evaluation
    from impasto.pipeline.execution import Executor
    from impasto.pipeline.models import Model

Event: TypeAlias = ProgressEvent | Finished
"""An event of a run: level started, step, level finished; the last one has the result."""

Listener: TypeAlias = Callable[[ProgressEvent], object]
"""Receives each event in order; returning False stops the run with the best image so far."""


_NO_RESULT = "the run ended without a result"

DEFAULT_VIDEO_OPTIONS = VideoOptions()


class RunOptions(TypedDict, total=False):
    """Options of a run besides the content image, the style images and the settings.

    Attributes:
        regions: regions with their own style images, each (mask, style) or (mask, style, style
            mask); masks are gray images of any size, white inside the region. The rest of the
            image takes the style, or stays unchanged without one
        keep: mask of the region that stays unchanged
        checkpoint: file for the state of the run; removed when the run is complete
        checkpoint_every: seconds between two checkpoints; one is also written when the run is
            stopped
        memory: memory limit in bytes, or as text such as "3GB"; by default the memory that is free
        resume: checkpoint to resume from, with the same inputs. New checkpoints go to the same
            file unless ``checkpoint`` is given. Settings are those of the checkpoint; given
            settings must agree
    """

    regions: Sequence[Region | tuple[ImageLike, ...]]
    keep: ImageLike | None
    checkpoint: str | os.PathLike[str] | None
    checkpoint_every: float
    memory: str | float | None
    resume: str | os.PathLike[str] | None


class StylizeOptions(RunOptions, Settings, total=False):
    """All keyword arguments of :func:`stylize`: :class:`RunOptions` and the settings."""


class Stylizer:
    """Paints many images with one network, which is loaded for the first run.

    As a context manager it frees the network at the end. A stylizer may be used in any thread, but
    only in one at a time; several stylizers may run concurrently. The Keras engine raises a
    BackendError in a process that was forked after a tensor library was loaded.

    Example::

        with impasto.Stylizer(strength=0.6) as stylizer:
            stylizer("photo.jpg", "painting.jpg").save("result.png")
    """

    @document_settings()
    def __init__(
        self,
        recipe: Recipe | None = None,
        *,
        weights_file: str | os.PathLike[str] | None = None,
        workers: int | str | None = None,
        preset: str = presets.DEFAULT,
        **settings: Unpack[Settings],
    ) -> None:
        """Validate the settings. Nothing is loaded before the first run.

        Defaults are those of the preset ``default``; another preset or a recipe replaces them.

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
        self.workers = parse_workers(workers)
        if recipe is None:
            self._named = presets.preset_settings(preset, presets.available_presets(), **settings)
            self.recipe = Recipe(**self._named)
        else:
            self.recipe = recipes.change_recipe(recipe, **settings)
            self._named = dict(vars(self.recipe))
        weights.check_file(weights_file)
        self.weights_file = weights_file
        self._controls, self._recipe = Controls(), self.recipe

    def __enter__(self) -> Stylizer:
        """Return itself."""
        return self

    def __exit__(
        self,
        role: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free the network."""
        if "_thread" in vars(self):
            self._thread.shutdown(wait=False)
            del self._thread
        if "_executor" in vars(self):
            self._executor.clear()

    def close_workers(self) -> None:
        """Close the workers, if any; the next run starts them again."""
        if "_executor" in vars(self):
            self._executor.close_pool()

    def prepare(
        self,
        content: ImageLike,
        style: ImageLike | Sequence[ImageLike] | None = None,
        *,
        recipe: Recipe | None = None,
        **options: Unpack[RunOptions],
    ) -> PreparedRun:
        """Read and validate all inputs. Takes the arguments of :meth:`paint`.

        Args:
            content: the content image
            style: one or more style images
            recipe: settings for this run, instead of those of the stylizer
            **options: see :class:`RunOptions`

        Raises:
            InputError: for an invalid image, setting or checkpoint
            TypeError: for an unknown keyword; settings belong to the stylizer or the recipe
        """
        _check_option_names(options)
        resume = options.get("resume")
        before = None if resume is None else checkpoints.read_checkpoint(resume)
        chosen = recipe or self.recipe
        if before is not None:
            chosen = checkpoints.resumed_recipe(before, vars(recipe) if recipe else self._named)
        path = checkpoints.checkpoint_path(options.get("checkpoint"), resume)
        writer = CheckpointWriter(path, options.get("checkpoint_every", recipes.CHECKPOINT_EVERY))
        limit = memory.memory_limit(options.get("memory"))
        regions, keep = options.get("regions", ()), options.get("keep")
        inputs = load_inputs(chosen, content, style, regions, keep, limit)
        if self.workers:
            local = self.workers if isinstance(self.workers, int) else 0
            inputs = replace(inputs, memory_inputs=replace(inputs.memory_inputs, workers=local))
        chosen = with_size(chosen, arrays.size_of(inputs.original))
        levels = pyramid.schedule(*arrays.size_of(inputs.content), chosen)
        if before is not None:
            checkpoints.check_checkpoint(before, inputs.sources, levels)
        plan = memory.plan_tiles(inputs.memory_inputs, limit)
        return PreparedRun(chosen, inputs, levels, writer, before, plan, limit)

    def paint(
        self,
        content: ImageLike,
        style: ImageLike | Sequence[ImageLike] | None = None,
        *,
        recipe: Recipe | None = None,
        **options: Unpack[RunOptions],
    ) -> Iterator[Event]:
        """Paint ``content`` in the style of ``style``; return a generator of events.

        The last event is a :class:`Finished` with the result. Stop iterating to stop the run;
        :meth:`so_far` then returns the best image. Inputs are validated when this method is called.

        Args:
            content: the content image, see :func:`stylize`
            style: one or more style images
            recipe: settings for this run, instead of those of the stylizer
            **options: see :class:`RunOptions`

        Raises:
            InputError: for an invalid image, setting or checkpoint
            TypeError: for an unknown keyword
        """
        return self._paint(self.prepare(content, style, recipe=recipe, **options))

    def __call__(
        self,
        content: ImageLike,
        style: ImageLike | Sequence[ImageLike] | None = None,
        *,
        listener: Listener | None = None,
        progress: bool = False,
        recipe: Recipe | None = None,
        **options: Unpack[RunOptions],
    ) -> Result:
        """Paint ``content`` in the style of ``style``, and return the result.

        In a notebook, the first Ctrl-C or Interrupt stops the run with the best image so far.

        Args:
            content: the content image, see :func:`stylize`
            style: one or more style images
            listener: receives each event; returning False stops the run with the best image so far
            progress: whether to show a progress bar in a terminal or a notebook
            recipe: settings for this run, instead of those of the stylizer
            **options: see :class:`RunOptions`

        Raises:
            InputError: for an invalid image, setting or checkpoint
            TypeError: for an unknown keyword

        Example::

            stylizer = impasto.Stylizer(size=384)
            result = stylizer("photo.jpg", "painting.jpg", keep="face.png")
        """
        prepared = self.prepare(content, style, recipe=recipe, **options)
        result = _run_to_end(self, prepared, listener, progress)
        settle_checkpoint(prepared, result)
        return result

    def map(
        self, pairs: Iterable[tuple[ImageLike, ImageLike | Sequence[ImageLike]]]
    ) -> Iterator[Result]:
        """Yield the result of each pair of a content image and its style images, in order.

        The network is loaded once. A pair is read when its result is requested.

        Args:
            pairs: (content, style), where style may be a list of style images

        Raises:
            InputError: at the pair with an invalid image

        Example::

            pairs = [("a.jpg", "painting.jpg"), ("b.jpg", "painting.jpg")]
            for number, result in enumerate(stylizer.map(pairs)):
                result.save(f"{number}.png")
        """
        for content, style in pairs:
            yield self(content, style)

    async def astylize(
        self,
        content: ImageLike,
        style: ImageLike | Sequence[ImageLike] | None = None,
        *,
        listener: Listener | None = None,
        recipe: Recipe | None = None,
        **options: Unpack[RunOptions],
    ) -> Result:
        """Paint in a thread of this stylizer, and return the result.

        Runs of one stylizer take turns. Cancelling the task stops the run after its next step.

        Args:
            content: the content image, see :func:`stylize`
            style: one or more style images
            listener: receives each event, in the thread of the event loop
            recipe: settings for this run, instead of those of the stylizer
            **options: see :class:`RunOptions`

        Raises:
            InputError: for an invalid image, setting or checkpoint
            TypeError: for an unknown keyword

        Example::

            result = await stylizer.astylize("photo.jpg", "painting.jpg")
        """
        stopped = False
        async for event in self.apaint(content, style, recipe=recipe, **options):
            if isinstance(event, Finished):
                return event.result
            if listener is not None and listener(event) is False and not stopped:
                stopped = True
                self.stop()
        raise ImpastoError(_NO_RESULT)

    async def apaint(
        self,
        content: ImageLike,
        style: ImageLike | Sequence[ImageLike] | None = None,
        *,
        recipe: Recipe | None = None,
        **options: Unpack[RunOptions],
    ) -> AsyncGenerator[Event, None]:
        """Paint in a thread of this stylizer; return an asynchronous generator of events.

        The last event is a :class:`Finished` with the result. Runs of one stylizer take turns.
        Stop iterating, or cancel the task, to stop the run after its next step.

        Args:
            content: the content image, see :func:`stylize`
            style: one or more style images
            recipe: settings for this run, instead of those of the stylizer
            **options: see :class:`RunOptions`

        Raises:
            InputError: for an invalid image, setting or checkpoint
            TypeError: for an unknown keyword

        Example::

            async for event in stylizer.apaint("photo.jpg", "painting.jpg"):
                if isinstance(event, impasto.Step):
                    print(event.total)
        """
        events = asynchronous.iterate(
            lambda: self.paint(content, style, recipe=recipe, **options), self._thread
        )
        async with contextlib.aclosing(events):
            async for event in events:
                yield event

    def _paint(self, prepared: PreparedRun) -> Iterator[Event]:
        for event in self.run(prepared):
            if isinstance(event, Finished):
                settle_checkpoint(prepared, event.result)
            yield event

    def run(self, prepared: PreparedRun) -> Iterator[Event]:
        """Run a prepared job; return a generator of events. The final checkpoint is not removed.

        Raises:
            CheckpointError: if the state to resume from was made by another backend or solver
            WeightsError: if the weights cannot be loaded
            BackendError: if the backend cannot be used
        """
        self._controls, self._recipe = Controls(), prepared.recipe
        return self._iterate(prepared, self._controls)

    def _iterate(self, prepared: PreparedRun, controls: Controls) -> Iterator[Event]:
        """Load the modules of the engine when the first event is requested."""
        yield from self._executor.run(prepared, controls)

    def so_far(self) -> Result | None:
        """Return the best image of the current or last run; None if there is none."""
        return self._executor.so_far()

    def steer(self, **settings: Unpack[Settings]) -> None:
        """Change strength, weights or evaluations of the current run, from its next step on.

        Needs no recompilation. Raises SettingError for other settings and for invalid values.
        """
        self._recipe = self._controls.steer(self._recipe, **settings)

    def stop(self) -> None:
        """Stop the current run after its next step, with the best image so far."""
        self._controls.stop()

    @property
    def stopped(self) -> bool:
        """Whether the current run was asked to stop."""
        return self._controls.stopped

    def model(self, recipe: Recipe) -> Model:
        """Return the network and the compiled losses of a recipe, loaded at the first call.

        Raises WeightsError or BackendError if they cannot be loaded.
        """
        return self._executor.models.get(recipe)

    def video(
        self,
        clip: str | os.PathLike[str],
        style: ImageLike | Sequence[ImageLike] | None = None,
        output: str | os.PathLike[str] = "painted.mp4",
        *,
        options: VideoOptions = DEFAULT_VIDEO_OPTIONS,
        **more: Any,
    ) -> Iterator[VideoEvent]:
        """Paint a video clip; return a generator of events. Needs the extra ``video``.

        Frames are stored in the folder ``<output>.impasto`` as they are painted. Stop iterating to
        stop; the same call resumes, with the same bytes as without the interruption.

        Args:
            clip: the video file, or a pattern of numbered images such as ``frames/%06d.png``
            style: one or more style images
            output: the video to write, or a pattern of numbered images
            options: how frames depend on each other
            **more: ``regions``, ``keep`` and ``memory`` as in :class:`RunOptions`; ``encoding``,
                an ``impasto.video.writer.ClipOptions``. A mask may also be ``(frame, mask)``, which
                moves with the content of its shot, or the path of a mask clip: a video, a folder or
                numbered images with a mask for each frame.

        Raises:
            InputError: for an invalid clip, image, setting or output
            ImpastoError: if a package of the extra is missing
        """
        self._controls = Controls()
        # Modules of a later package.
        clip_job, stream = map(
            importlib.import_module, ("impasto.video.clip_job", "impasto.video.stream")
        )
        job = clip_job.VideoJob(os.fspath(clip), style, os.fspath(output), options, **more)
        events: Iterator[VideoEvent] = stream.paint_clip(self, clip_job.prepare(self, job))
        return events

    def load(self) -> None:
        """Load the engine and the network now instead of in the first run.

        Raises WeightsError or BackendError if they cannot be loaded.
        """
        self._executor.models.get(self.recipe)

    def features(
        self, image: ImageLike, layers: str | Sequence[str], *, size: int | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Return the features that the network computes of an image.

        Args:
            image: the image, see :func:`stylize`
            layers: names of layers, such as "block3_conv1"; a sequence, or text with commas
            size: longest side in pixels at which features are computed; None for the image's own

        Returns:
            Activations after the ReLU by layer, float32 (height, width, channels). Block n has a
            stride of 2ⁿ⁻¹ pixels.

        Raises:
            InputError: for an invalid image or an unknown layer

        Example::

            maps = stylizer.features("photo.jpg", "block1_conv1,block4_conv2", size=256)
        """
        recipe = recipes.change_recipe(self.recipe, style_loss="gram", style_layers=layers)
        names = [name for name, _ in recipe.style_layers]
        weights.NETWORKS[recipe.network].check_layers(names)
        pixels = load.load_image(image, "image").pixels
        if size is not None:
            pixels = arrays.resize(pixels, *arrays.fit(*arrays.size_of(pixels), size))
        return self._executor.features(recipe, filearray.in_memory(pixels), names)

    def evaluate(
        self,
        content: ImageLike,
        style: ImageLike | Sequence[ImageLike] | None = None,
        *,
        image: ImageLike | None = None,
        recipe: Recipe | None = None,
        **options: Unpack[RunOptions],
    ) -> Evaluation:
        """Evaluate the loss of the finest level once, and its gradient; nothing is painted.

        Args:
            content: the content image, see :func:`stylize`
            style: one or more style images
            image: the image to evaluate, which is resized to the setting ``size``; None for the
                content image
            recipe: settings, instead of those of the stylizer
            **options: see :class:`RunOptions`

        Returns:
            ``total`` is the weighted loss, ``terms`` the unweighted losses, ``layers`` the part of
            each layer in them, and ``gradient`` the gradient of the total by the pixels, float32
            (height, width, 3).

        Raises:
            InputError: for an invalid image or setting

        Example::

            loss = stylizer.evaluate("photo.jpg", "painting.jpg")
            print(loss.total, loss.terms["style"], abs(loss.gradient).max())
        """
        prepared = self.prepare(content, style, recipe=recipe, **options)
        pixels = None if image is None else load.load_image(image, "image").pixels
        return self._executor.evaluate(prepared, pixels)

    def forecast(self, prepared: PreparedRun, held: float = 0.0, measure: bool = False) -> Forecast:
        """Return the expected time and memory of a run, from the stored measurement of the machine.

        Without one, or with ``measure``, this measures the machine, which takes seconds, and stores
        the measurement. ``held`` is additional memory in bytes, such as that of video frames.
        """
        measured = None if measure else forecast.known_measurement(prepared)
        if measured is None:
            measured = self._executor.measure(prepared)
            measurements.store_measurement(prepared.recipe, len(prepared.inputs.regions), measured)
        return forecast.make_forecast(prepared, measured, held)

    @cached_property
    def _thread(self) -> ThreadPoolExecutor:
        """The thread of asynchronous runs: a stylizer runs in one thread at a time."""
        return ThreadPoolExecutor(1, "impasto")

    @cached_property
    def _executor(self) -> Executor:
        from impasto.pipeline.execution import Executor  # loads the tensor library

        return Executor(self.weights_file, self.workers)


def parse_workers(given: int | str | None) -> int | str:
    """Return the number of workers, 0 for none, or the address of a scheduler.

    Raises SettingError for other values, or if Dask is not installed.

    >>> parse_workers(None)
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
    if workers and extras.missing_modules("cluster"):
        raise SettingError(extras.missing_extra_message("cluster"))
    return workers


def _check_option_names(names: Iterable[str]) -> None:
    """Raise TypeError for a name that is not in :class:`RunOptions`, such as a setting."""
    for name in names:
        if name not in RunOptions.__annotations__:
            known = ", ".join(("recipe", *RunOptions.__annotations__))
            advice = "; settings are given to Stylizer(...), or in a recipe"
            raise TypeError(f"unexpected argument {name!r}{advice}; possible: {known}")


def settle_checkpoint(prepared: PreparedRun, result: Result) -> None:
    """Remove the checkpoint of a complete run; write that of an incomplete one."""
    if result.finished:
        prepared.checkpoint_writer.remove()
    else:
        prepared.checkpoint_writer.save()


@document_settings(RunOptions, {"regions": (), "checkpoint_every": recipes.CHECKPOINT_EVERY})
def stylize(
    content: ImageLike,
    style: ImageLike | Sequence[ImageLike] | None = None,
    *,
    listener: Listener | None = None,
    progress: bool = False,
    weights_file: str | os.PathLike[str] | None = None,
    workers: int | str | None = None,
    recipe: Recipe | None = None,
    preset: str = presets.DEFAULT,
    **given: Unpack[StylizeOptions],
) -> Result:
    """Paint the content image in the style of the style image.

    Defaults of settings are those of the preset ``default``; another preset or a recipe replaces
    them. In a notebook, the first Ctrl-C or Interrupt stops the run with the best image so far.

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
        **given: see :class:`RunOptions`, and fields of :class:`impasto.Recipe`

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
    run: RunOptions = {name: given[name] for name in RunOptions.__annotations__ if name in given}  # type: ignore[assignment,literal-required]
    settings: Settings = {name: given[name] for name in given if name not in run}  # type: ignore[assignment,literal-required]
    with Stylizer(
        recipe, weights_file=weights_file, workers=workers, preset=preset, **settings
    ) as stylizer:
        return stylizer(content, style, listener=listener, progress=progress, **run)


def _run_to_end(
    stylizer: Stylizer, prepared: PreparedRun, listener: Listener | None, bar: bool
) -> Result:
    """Consume the events of a run, and return its result."""
    with contextlib.ExitStack() as stack:
        events = stylizer.run(prepared)
        if hasattr(builtins, "__IPYTHON__"):
            handler = stack.enter_context(interrupts.handled_interrupts(stylizer.stop))
            events = handler.iterate(events)
        shown = stack.enter_context(bars.progress_bar()) if bar else None
        if shown is not None:
            shown.begin("", prepared.levels, forecast.expected_seconds(prepared))
        for event in events:
            if isinstance(event, Finished):
                return event.result
            if shown is not None:
                shown.show(event)
            if listener is not None and listener(event) is False:
                stylizer.stop()
    raise ImpastoError(_NO_RESULT)
