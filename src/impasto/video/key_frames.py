"""Key frames, painted by hand: the frames before one move toward it.

As in EbSynth's workflow, a frame between two keys is made from both: the strokes of the first are
carried forward, those of the second are tracked backward, and the two cross-fade.
"""

from pathlib import Path

import numpy as np

from impasto.images import arrays, load
from impasto.images.arrays import ImageArray, Mask
from impasto.video import between, motion, tracking
from impasto.video import births as birth_maps
from impasto.video.births import Birth
from impasto.video.clip_job import PreparedClip
from impasto.video.parts import Part
from impasto.video.tracking import Tracked

ALIKE = 30.0
"""Scale of the difference of the content, of 255, beyond which a tracked pixel has no weight."""

FEWEST = 0.02
"""Share of the frame that is tracked, below which earlier frames show nothing of the key."""


def load_key(clip: PreparedClip, number: int) -> ImageArray:
    """Return a frame that was painted by hand, at the size of the painted frames."""
    image = load.load_image(clip.job.options.keys[number], f"key {number}")
    return arrays.resize(image.pixels, *clip.size)


class NextKey:
    """The key frame that follows on a part, as it is seen in the frames of the part."""

    def __init__(self, clip: PreparedClip, part: Part) -> None:
        """Track backward from the key frame when the first frame is asked for."""
        self.clip, self.part = clip, part

    def approach(self, number: int, painted: ImageArray) -> ImageArray:
        """Return a painted frame, moved toward the key frame as far as it is near.

        Low frequencies cross-fade, and high ones are those of the nearer side, so strokes are not
        doubled.
        """
        key = self.part.next_key
        if key is None or number == self.part.first or self.clip.job.options.steady == 0:
            return painted
        self._track(key)
        path = self._path(number)
        if not path.exists():
            return painted
        values = self.clip.project.read_image(path).astype(np.float32)
        nearness = (number - self.part.first) / (key - self.part.first)
        share = values[..., 3:] * np.float32(nearness / 255)
        return between.cross_fade(values[..., :3], painted, share)

    def remove(self) -> None:
        """Remove the files of this part."""
        if self.part.next_key is not None:
            folder = self.clip.project.folder
            (folder / f"key-{self.part.next_key}.finished").unlink(missing_ok=True)
            for path in folder.glob(f"key-{self.part.next_key}-*.png"):
                path.unlink()

    def _path(self, number: int) -> Path:
        return self.clip.project.image_path(f"key-{self.part.next_key}", number)

    def _track(self, key: int) -> None:
        """Write the key frame as it is seen in each frame before it, with its confidence."""
        finished = self.clip.project.folder / f"key-{key}.finished"
        if finished.exists():
            return
        painted = load_key(self.clip, key)
        contents = tracking.iter_reversed(self.clip, self.part.first, key, self.part.shot.peak)
        photo: ImageArray | None = None
        for tracked in tracking.track(contents):
            photo = tracked.content.image if photo is None else photo
            weight = _confidence(tracked, photo)
            if weight.mean() < FEWEST:
                break
            seen = _sample(tracked, key, painted)
            values = np.dstack([seen, 255 * weight])
            rounded = np.clip(np.rint(values), 0, 255).astype(np.uint8)
            self.clip.project.write_image(self._path(tracked.content.number), rounded)
        self.clip.project.write_mark(finished)


def _confidence(tracked: Tracked, photo: ImageArray) -> Mask:
    """Return the confidence (height, width) that pixels are those of the key frame.

    They are tracked to it, and their content is that of the key frame, ``photo``.
    """
    content = tracked.content.image
    moved = motion.sample(photo, tracked.births.position, linear=True)
    moved = motion.match_brightness(moved, content, tracked.visible)
    residual = motion.blur(np.abs(moved - content).mean(-1), 1.0)
    visible = tracked.visible.astype(np.float32)
    soft = np.clip(2 * motion.blur(visible, 1.5) - 1, 0, 1)
    return np.asarray(soft * np.exp(-((residual / ALIKE) ** 2)), np.float32)


def _sample(tracked: Tracked, key: int, painted: ImageArray) -> ImageArray:
    nothing = np.zeros((0, 1, 1), np.int32)
    record = Birth(painted, np.zeros((1, 1, 3), np.uint8), nothing, nothing.astype(np.float32))
    return birth_maps.sample_births(tracked.births, {key: record}, painted)
