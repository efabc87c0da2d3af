"""Animations of the same seconds of a clip, painted by each method, for docs/video.md.

python -m tools.video_methods [--clip CLIP] [--style STYLE] [--size 256] [--out docs/video]
[METHOD ...]

Without a clip, a camera moves over a sample image.
"""

import argparse
import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from PIL import Image

from impasto import Stylizer
from impasto.images import samples
from impasto.images.arrays import ImageArray, fit, resize, size_of
from impasto.images.formats import encode
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


SAMPLE_CONTENT, SAMPLE_STYLE = "cat", "swirls"
"""The samples that are used without a clip, and without a style image."""

SAMPLE_SIZE = 320, 240
"""Width and height in pixels of the frames over the sample."""


def write_sample_clip(path: Path) -> None:
    """Write a clip in which a camera moves over a sample image, and comes nearer."""
    content = samples.load_sample(SAMPLE_CONTENT)
    height, width = size_of(content)
    with av.open(str(path), "w") as written:
        stream = written.add_stream("libx264", rate=RATE, options={"crf": "8"})
        stream.width, stream.height = SAMPLE_SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(FRAMES + 1):
            zoom = 0.82 - 0.012 * number
            rows = round(zoom * min(height, width * SAMPLE_SIZE[1] / SAMPLE_SIZE[0]))
            columns = round(rows * SAMPLE_SIZE[0] / SAMPLE_SIZE[1])
            top, left = round((height - rows) * 0.3), round((width - columns) * number / FRAMES)
            frame = resize(content[top : top + rows, left : left + columns], *SAMPLE_SIZE[::-1])
            values = np.rint(frame).astype(np.uint8)
            written.mux(stream.encode(av.VideoFrame.from_ndarray(values, format="rgb24")))
        written.mux(stream.encode(None))


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
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--style", type=Path)
    parser.add_argument("methods", nargs="*", help=f"of: clip, {', '.join(METHODS)} (default all)")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path("docs/video"))
    parser.add_argument("--work", type=Path, help="folder of painted frames, to resume")
    given = parser.parse_args(arguments)
    with TemporaryDirectory() as temporary:
        write_animations(given, Path(temporary))


def write_animations(given: argparse.Namespace, temporary: Path) -> None:
    """Paint the clip of the arguments by each method, and write the animations."""
    clip, style = given.clip, given.style
    if clip is None:
        clip = temporary / "clip.mp4"
        write_sample_clip(clip)
    if style is None:
        style = temporary / "style.png"
        encode.write_image(samples.load_sample(SAMPLE_STYLE), style)
    frames = list(itertools.islice(reader.iter_frames(reader.probe(clip)), FRAMES + 1))
    end = float(Fraction(frames[-1].pts) * frames[-1].info.time_base)
    if len(frames) <= FRAMES:
        end += 1
    given.out.mkdir(parents=True, exist_ok=True)
    chosen = given.methods or ["clip", *METHODS]
    if "clip" in chosen:
        size = fit(*frames[0].info.size, given.size)
        images = [frame.pixels(size) for frame in frames[:FRAMES]]
        write_animation(images, given.out / "clip.webp")
    work = given.work or temporary / "painted"
    with Stylizer(size=given.size) as stylizer:
        for name in (name for name in METHODS if name in chosen):
            path = given.out / f"{name}.webp"
            images = paint(stylizer, clip, style, METHODS[name], end, work / name)
            print(path, write_animation(images, path), "bytes")


if __name__ == "__main__":
    main()
