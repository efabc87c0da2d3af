"""Paints frames in full, as still images are: the first of a shot, and those by themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from impasto.compute.arrays import to_numpy
from impasto.images import colors
from impasto.images.arrays import ImageArray, Mask
from impasto.images.style_regions import TRACE
from impasto.optimizers.registry import SOLVERS
from impasto.pipeline.events import LevelFinished
from impasto.pipeline.inputs import PreparedRun
from impasto.pipeline.result import Finished
from impasto.pipeline.run import Run
from impasto.pipeline.stylizer import Stylizer
from impasto.video.clip_job import PreparedClip, prepare_run
from impasto.video.frame_painter import FrameRegions
from impasto.video.shot_styles import ShotStyles


class FullPainting(NamedTuple):
    """A frame that was painted in full."""

    image: ImageArray
    """unclipped"""
    scales: dict[int, float]
    """by level, see ``Solver.curvature_scale``"""


@dataclass
class FullPainter:
    """Paints frames of a shot by themselves, with the style images of the shot."""

    stylizer: Stylizer
    clip: PreparedClip
    styles: ShotStyles

    def frame_regions(self, masks: Mapping[str, Mask]) -> FrameRegions:
        """Return the regions of a frame, given its masks by name."""
        regions, keep = self.styles.regions(masks)
        return FrameRegions(regions, keep, masks)

    def paint(self, content: ImageArray, frame: FrameRegions) -> FullPainting | None:
        """Return a frame painted in full; None if the run was stopped."""
        regions = tuple(
            each for each in frame.regions if each.mask is None or each.mask.max() > TRACE
        )
        if not regions:  # all of it stays unchanged
            return FullPainting(content, {})
        prepared = self._prepared(content, frame._replace(regions=regions))
        scales, image, stopped = dict[int, float](), None, False
        for event in self.stylizer.run(prepared):
            if isinstance(event, LevelFinished) and event.state is not None:
                solver = SOLVERS[prepared.recipe.optimizer]
                scales[event.level] = solver.curvature_scale(event.state.solver)
                image = to_numpy(event.state.best)
            elif isinstance(event, Finished):
                stopped = not event.result.finished
        if image is None or stopped:
            return None
        return FullPainting(np.array(image, np.float32), scales)

    def run(self, content: ImageArray, frame: FrameRegions) -> Run:
        """Return the run of a frame, without running it."""
        prepared = self._prepared(content, frame)
        model = self.stylizer.model(prepared.recipe)
        return Run(model, prepared.inputs, prepared.recipe, prepared.plan)

    def _prepared(self, content: ImageArray, frame: FrameRegions) -> PreparedRun:
        prepared = prepare_run(self.stylizer, self.clip, content)
        inputs = replace(prepared.inputs, regions=frame.regions, keep=frame.keep)
        return replace(prepared, inputs=inputs)


def finish(run: Run, painted: ImageArray, content: ImageArray, keep: Mask | None) -> ImageArray:
    """Return a painted frame with kept regions and colors of its content, clipped."""
    inputs = replace(run.inputs, original=content, keep=keep)
    finished = replace(run, inputs=inputs, _resized={}).finish_image(painted)
    return np.clip(finished, 0, 255)


def to_painted_content(clip: PreparedClip, content: ImageArray) -> ImageArray:
    """Return the content as it is painted: in gray if only lightness is changed."""
    if clip.recipe.colors != "content":
        return content
    return colors.gray_from_lightness(colors.lightness(content))
