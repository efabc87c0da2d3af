"""Paints frames in full, as still images are: the first of a shot, and those by themselves."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from impasto.compute.arrays import to_numpy
from impasto.images import colors
from impasto.images.arrays import ImageArray
from impasto.optimizers.registry import SOLVERS
from impasto.pipeline.events import LevelFinished
from impasto.pipeline.result import Finished
from impasto.pipeline.run import Run
from impasto.pipeline.stylizer import Stylizer
from impasto.video.clip_job import PreparedClip, prepare_run


class FullPainting(NamedTuple):
    """A frame that was painted in full."""

    image: ImageArray
    """unclipped"""
    scales: dict[int, float]
    """by level, see ``Solver.curvature_scale``"""


@dataclass
class FullPainter:
    """Paints frames by themselves."""

    stylizer: Stylizer
    clip: PreparedClip

    def paint(self, content: ImageArray) -> FullPainting | None:
        """Return a frame painted in full; None if the run was stopped."""
        prepared = prepare_run(self.stylizer, self.clip, content)
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

    def run(self, content: ImageArray) -> Run:
        """Return the run of a frame, without running it."""
        prepared = prepare_run(self.stylizer, self.clip, content)
        model = self.stylizer.model(prepared.recipe)
        return Run(model, prepared.inputs, prepared.recipe, prepared.plan)


def finish(run: Run, painted: ImageArray, content: ImageArray) -> ImageArray:
    """Return a painted frame with kept regions and colors of its content, clipped."""
    inputs = replace(run.inputs, original=content)
    finished = replace(run, inputs=inputs, _resized={}).finish_image(painted)
    return np.clip(finished, 0, 255)


def to_painted_content(clip: PreparedClip, content: ImageArray) -> ImageArray:
    """Return the content as it is painted: in gray if only lightness is changed."""
    if clip.recipe.colors != "content":
        return content
    return colors.gray_from_lightness(colors.lightness(content))
