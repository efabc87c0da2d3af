"""The masks of each frame of a shot, of all kinds of :mod:`impasto.video.mask_sources`."""

from collections.abc import Iterable, Iterator

import numpy as np

from impasto.images import masks
from impasto.images.arrays import Mask
from impasto.video import motion, tracking
from impasto.video.clip_job import PreparedClip
from impasto.video.mask_sources import MaskClip, MaskClipReader, MovingMask, StandingMask
from impasto.video.survey import Shot


class ShotMasks:
    """Returns the masks of frames of a shot, by name. Moving masks are traced once, into files."""

    def __init__(self, clip: PreparedClip, shot: Shot) -> None:
        """Return masks at the size of the painted frames of ``clip``."""
        self.clip, self.shot = clip, shot
        self._standing = {
            name: masks.resize_mask(source.mask, *clip.size)
            for name, source in clip.masks.items()
            if isinstance(source, StandingMask)
        }
        self._readers = {
            name: MaskClipReader(source, clip.size)
            for name, source in clip.masks.items()
            if isinstance(source, MaskClip)
        }

    @property
    def _moving(self) -> dict[str, MovingMask]:
        sources = self.clip.masks.items()
        return {name: each for name, each in sources if isinstance(each, MovingMask)}

    def at(self, number: int) -> dict[str, Mask]:
        """Return the masks of a frame, (height, width) in [0, 1] each."""
        found = {name: reader.at(number) for name, reader in self._readers.items()}
        for name, moving in self._moving.items():
            found[name] = self._moved(name, moving, number)
        return {name: (self._standing | found)[name] for name in self.clip.masks}

    def _moved(self, name: str, moving: MovingMask, number: int) -> Mask:
        """Return a mask that moves: black in shots without its frame."""
        if not self.shot.first <= moving.frame <= self.shot.last:
            return np.zeros(self.clip.size, np.float32)
        path = self.clip.project.image_path(name, number)
        if not path.exists():
            self._trace(name, moving)
        values = self.clip.project.read_image(path)
        return (values[..., 0] / np.float32(255)).astype(np.float32)

    def _trace(self, name: str, moving: MovingMask) -> None:
        """Write the mask of every frame of the shot: forward from the frame given, and backward."""
        mask = masks.resize_mask(moving.mask, *self.clip.size)
        shot, first = self.shot, moving.frame
        forward = tracking.iter_contents(self.clip, first, shot.last, shot.peak)
        self._write(name, mask, forward)
        backward = tracking.iter_reversed(self.clip, shot.first, first, shot.peak)
        self._write(name, mask, backward)

    def _write(self, name: str, mask: Mask, contents: Iterable[tracking.Content]) -> None:
        for number, moved in iter_moved(mask, contents):
            values = np.rint(np.clip(moved, 0, 1) * 255).astype(np.uint8)
            path = self.clip.project.image_path(name, number)
            self.clip.project.write_image(path, values)


def iter_moved(mask: Mask, contents: Iterable[tracking.Content]) -> Iterator[tuple[int, Mask]]:
    """Yield the number of each frame, and a mask of the first one as it is there.

    Args:
        mask: (height, width) of the contents, in [0, 1]
        contents: frames that follow each other, forward or backward in time
    """
    for tracked in tracking.track(contents):
        yield tracked.content.number, motion.sample(mask, tracked.births.position, linear=True)
