"""Clips that tests make: moving textures whose flow is known, and their files."""

from fractions import Fraction

import av
import numpy as np
from skimage import data

from impasto.images import arrays

TEXTURE = np.asarray(data.coffee(), np.float32)
OTHER = np.asarray(data.chelsea(), np.float32)


def pan(count, height=48, width=64, dx=2, texture=TEXTURE):
    """Frames of a camera that moves by whole pixels to the right."""
    large = arrays.resize(texture, 2 * height, 3 * width)
    return [np.rint(large[8 : 8 + height, dx * n : dx * n + width]) for n in range(count)]


def crossing(count, height=48, width=64):
    """Frames of a standing camera, and a disk that crosses it."""
    ground = np.rint(arrays.resize(TEXTURE, height, width))
    thing = np.rint(arrays.resize(OTHER, height, width))
    y, x = np.mgrid[:height, :width]
    frames = []
    for n in range(count):
        inside = (x - 8 - 5 * n) ** 2 + (y - height // 2) ** 2 < 49
        shifted = np.roll(thing, 5 * n, axis=1)
        frames.append(np.where(inside[..., None], shifted, ground).astype(np.float32))
    return frames


def write(
    path,
    frames,
    codec="libx264",
    pixel_format="yuv444p",
    times=None,
    base=Fraction(1, 24),
    options=None,
    audio=False,
    title="",
    aspect=None,
    tags=None,
):
    """Write frames, float or uint8 (height, width, 3 or 4), with some properties of real clips."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options=options or {"crf": "0"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = base
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if title:
            container.metadata["title"] = title
            container.metadata["location"] = "+48.5+009.0/"
        sound = container.add_stream("aac", rate=48_000) if audio else None
        for number, pixels in enumerate(frames):
            form = "rgba" if pixels.shape[-1] == 4 else "rgb24"
            values = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
            shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(values), format=form)
            shown.pts, shown.time_base = (times or range(len(frames)))[number], base
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))
        if sound is not None:
            for number in range(len(frames) * 6):
                samples = np.sin(np.arange(1024) / 9).astype(np.float32)[None]
                heard = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                heard.rate, heard.pts = 48_000, 1024 * number
                container.mux(sound.encode(heard))
            container.mux(sound.encode(None))
    return path


def packets(path, kind="audio"):
    """The bytes of all packets of the first stream of a kind."""
    with av.open(str(path)) as container:
        (stream,) = getattr(container.streams, kind)
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


def duration(path):
    """The duration in seconds that the container says."""
    with av.open(str(path)) as container:
        return container.duration / av.time_base
