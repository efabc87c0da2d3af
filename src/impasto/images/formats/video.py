"""Videos of a run as .gif or .mp4, written atomically."""

import math
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from impasto import extras, files
from impasto.errors import OutputError, SettingError
from impasto.images.arrays import ImageArray
from impasto.images.formats import encode

VIDEO_ENDINGS = (".gif", ".mp4")
"""Supported extensions of `write_video`."""

_HOLD = 2.0  # seconds that the last frame stays
_FPS = 30


def check_video(path: files.AnyPath) -> None:
    """Check that a video can be written at ``path``.

    Raises the errors of `files.check_output`, and OutputError if ffmpeg is missing.
    """
    files.check_output(path, VIDEO_ENDINGS)
    if files.ending_of(path, VIDEO_ENDINGS) == ".mp4":
        _find_ffmpeg()


MAX_SIDE = {".gif": 65_535, ".mp4": 16_384}
"""Maximum side of a video in pixels, the limit of x264."""


def check_video_size(path: files.AnyPath, height: int, width: int) -> None:
    """Raise OutputError if the format does not support a video of (height, width)."""
    max_side = MAX_SIDE[files.ending_of(path, VIDEO_ENDINGS)]
    if max(height, width) > max_side:
        raise OutputError(
            f"{files.display_path(path)}: this format supports at most {max_side:,} px per side, "
            f"but the image is {width:,} x {height:,}: omit the video or choose a smaller size"
        )


Frame: TypeAlias = ImageArray | NDArray[np.uint8]
"""An image, or its 8-bit array (height, width, 3)."""


def write_video(frames: Sequence[Frame], path: files.AnyPath, seconds: float = 6.0) -> None:
    """Write frames as .gif or .mp4, atomically.

    They play for ``seconds``, then the last frame is held. Smaller frames are enlarged to the size
    of the last one. Raises OutputError if there are none or the file cannot be written.
    """
    write_frames = _write_gif if files.ending_of(path, VIDEO_ENDINGS) == ".gif" else _write_mp4
    if not (math.isfinite(seconds) and seconds > 0):
        raise SettingError(f"the video has {seconds} seconds: expected more than 0")
    if not frames:
        raise OutputError(f"{files.display_path(path)}: a video needs at least one frame")
    check_video_size(path, *frames[-1].shape[:2])
    with files.atomic_replace(path) as temporary:
        write_frames(frames, temporary, seconds)


def _iter_resized_frames(frames: Sequence[Frame]) -> Iterator[Image.Image]:
    """Yield frames in the size of the last, one at a time: all of them enlarged would fill memory.

    Raises ImageError for one with values that are not finite.
    """
    height, width = frames[-1].shape[:2]
    for frame in frames:
        image = encode.to_pillow(frame.astype(np.float32))
        yield image.resize((width, height), Image.Resampling.LANCZOS)


def _write_gif(frames: Sequence[Frame], path: Path, seconds: float) -> None:
    palette = _common_palette(frames)
    first, *others = [image.quantize(palette=palette) for image in _iter_resized_frames(frames)]
    # Browsers slow frames of less than 20 ms down to 100 ms.
    step = max(20, round(1000 * seconds / len(frames)))
    durations = [step] * len(others) + [step + round(1000 * _HOLD)]
    duration = durations if others else durations[0]
    first.save(path, "GIF", save_all=True, append_images=others, duration=duration, loop=0)


def _common_palette(frames: Sequence[Frame]) -> Image.Image:
    """Quantize samples of up to 9 frames together: a palette per frame would flicker."""
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), 9)).round().astype(int)
    images = _iter_resized_frames(
        [frames[i] for i in chosen]
    )  # of which the last is the film's last
    tiles = [image.resize((128, 128), Image.Resampling.NEAREST) for image in images]
    return Image.fromarray(np.concatenate([np.asarray(tile) for tile in tiles])).quantize(256)


def _write_mp4(frames: Sequence[Frame], path: Path, seconds: float) -> None:
    """Write H.264 that every player supports: even sides, 4:2:0, the colors of HD video."""
    height, width = frames[-1].shape[:2]
    filters = (
        f"fps={_FPS},tpad=stop_mode=clone:stop_duration={_HOLD},"
        "crop=trunc(iw/2)*2:trunc(ih/2)*2,scale=out_color_matrix=bt709"
    )
    command = (
        f"-v error -y -f rawvideo -pix_fmt rgb24 -s {width}x{height} "
        f"-framerate {len(frames) / seconds:.6f} -i - -vf {filters} -c:v libx264 -crf 16 "
        "-pix_fmt yuv420p -colorspace bt709 -color_primaries bt709 -color_trc bt709 "
        "-movflags +faststart -f mp4"
    )
    # imageio's writer ignores the exit status of ffmpeg, so a video that was truncated because
    # the disk is full would not raise an error.
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [_find_ffmpeg(), *command.split(), path], stdin=pipe, stderr=pipe
    ) as process:
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            for image in _iter_resized_frames(frames):
                process.stdin.write(image.tobytes())
        _, tags = process.communicate()
    if process.returncode:
        raise OSError(tags.decode(errors="replace") or "ffmpeg failed")


def _find_ffmpeg() -> str:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except ImportError:
        raise OutputError(f"{extras.missing_extra_message('video')}, or use .gif") from None
    except RuntimeError:
        raise OutputError(
            "writing .mp4 needs ffmpeg: install it, set IMAGEIO_FFMPEG_EXE to its path, or use .gif"
        ) from None
