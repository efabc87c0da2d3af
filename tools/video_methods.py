"""Animations of the same seconds of a clip, painted by each method, for docs/video.md.

python -m tools.video_methods CLIP STYLE [--size 256] [--out docs/video] [METHOD ...]
"""

import argparse
import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from impasto import Stylizer
from impasto.images.arrays import ImageArray, fit
from impasto.pipeline.video_events import VideoOptions
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
    stylizer: Stylizer, clip: Path, style: Path, options: VideoOptions, end: float, folder: Path
) -> list[ImageArray]:
    """Return the painted frames of a clip up to a time in seconds, in order.

    They are stored in ``folder``, so an interrupted call resumes.
    """
    chosen = VideoOptions(options.steady, options.every, options.hold, end=end)
    folder.mkdir(parents=True, exist_ok=True)
    for _ in stylizer.video(clip, style, folder / "%06d.png", options=chosen):
        pass
    return [np.asarray(Image.open(path), np.float32) for path in sorted(folder.glob("*.png"))]


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
    parser.add_argument("--work", type=Path, help="folder of painted frames, to resume")
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
    with Stylizer(size=given.size) as stylizer, TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        for name in (name for name in METHODS if name in chosen):
            path = given.out / f"{name}.webp"
            images = paint(stylizer, given.clip, given.style, METHODS[name], end, work / name)
            print(path, write_animation(images, path), "bytes")


if __name__ == "__main__":
    main()
