"""Animations of the same seconds of a clip, painted by each method, for docs/video.md.

python -m tools.video_methods CLIP STYLE [--size 256] [--out docs/video] [METHOD ...]
"""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from impasto import Stylizer
from impasto.images.arrays import ImageArray, fit
from impasto.pipeline.video_events import FramePainted, VideoOptions
from impasto.video import reader

FRAMES = 10
"""Number of frames that are painted."""

RATE = 8
"""Frames per second that an animation shows."""

MAX_BYTES = 400_000
"""Maximum size of an animation."""

METHODS = {
    "by-itself": VideoOptions(steady=0),
    "default": VideoOptions(),
    "every-3": VideoOptions(every=3),
    "hold-2": VideoOptions(hold=2),
}
"""Options by the name of the animation."""


def paint(
    stylizer: Stylizer, clip: Path, style: Path, options: VideoOptions, end: float
) -> Iterator[ImageArray]:
    """Yield the painted frames of a clip up to a time in seconds, in order."""
    chosen = VideoOptions(options.steady, options.every, options.hold, end=end)
    images = {}
    with TemporaryDirectory() as folder:
        for event in stylizer.video(clip, style, Path(folder, "painted.mp4"), options=chosen):
            if isinstance(event, FramePainted):
                images[event.number] = event.pixels
    for number in sorted(images):
        yield images[number]


def write_animation(images: Sequence[ImageArray], path: Path) -> int:
    """Write an animation that repeats, at the best quality within MAX_BYTES; return its bytes."""
    shown = [Image.fromarray(np.clip(np.rint(each), 0, 255).astype(np.uint8)) for each in images]
    for quality in (80, 70, 60, 50, 40, 30):
        shown[0].save(
            path,
            save_all=True,
            append_images=shown[1:],
            duration=1000 // RATE,
            loop=0,
            quality=quality,
            method=6,
        )
        if path.stat().st_size <= MAX_BYTES:
            break
    return path.stat().st_size


def main(arguments: Sequence[str] | None = None) -> None:
    """Paint a clip by each method, and write the animations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("methods", nargs="*", help=f"of: clip, {', '.join(METHODS)} (default all)")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path("docs/video"))
    given = parser.parse_intermixed_args(arguments)
    frames = list(itertools.islice(reader.iter_frames(reader.probe(given.clip)), FRAMES + 1))
    end = float(Fraction(frames[-1].pts) * frames[-1].info.time_base)
    if len(frames) <= FRAMES:
        end += 1
    given.out.mkdir(parents=True, exist_ok=True)
    chosen = given.methods or ["clip", *METHODS]
    if "clip" in chosen:
        size = fit(*frames[0].info.size, given.size)
        images = [frame.pixels(size) for frame in frames[:FRAMES]]
        write_animation(images, given.out / "clip.webp")
    with Stylizer(size=given.size) as stylizer:
        for name in (name for name in METHODS if name in chosen):
            path = given.out / f"{name}.webp"
            images = list(paint(stylizer, given.clip, given.style, METHODS[name], end))
            print(path, write_animation(images, path), "bytes")


if __name__ == "__main__":
    main()
