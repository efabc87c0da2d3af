"""Each function of images gives the same result for an array in a file as for one in memory.

The table is checked against the modules: a function that is added needs a line.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import typing

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from impasto import filearray, images
from impasto.images import arrays, colors, load, masks, style_regions, value_range
from impasto.images.formats import (
    color_management,
    decode,
    encode,
    pillow_reader,
    reader,
    transfer_functions,
    video,
)
from impasto.images.formats.save_options import SaveOptions
from impasto.images.style_regions import MaskedStyle, StyledRegion, StyleImage


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """A few rows are a block, and everything is large."""
    monkeypatch.setattr(filearray, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(filearray, "MIN_FILE_BYTES", 0)


def _written(ending, depth=8):
    def write(image, mask, folder):
        path = folder / f"picture{ending}"
        encode.write_image(image, path, alpha=mask, saving=SaveOptions(depth=depth))
        return path.read_bytes()

    return write


def _video(image, mask, folder):
    video.write_video([image, image], folder / "film.gif")
    return (folder / "film.gif").read_bytes()


def _regions(image, mask):
    return (StyledRegion((StyleImage(image, mask=mask),), mask),)


Case = typing.Callable[[typing.Any, typing.Any, typing.Any], typing.Any]

CASES: dict[typing.Callable[..., typing.Any], list[Case]] = {
    arrays.size_of: [lambda p, m, _: arrays.size_of(p)],
    arrays.resize: [lambda p, m, _: arrays.resize(p, 30, 20)],
    arrays.resample: [lambda p, m, _: arrays.resample(p - 99, 9, 40)],
    arrays.is_gray: [lambda p, m, _: arrays.is_gray(p), lambda p, m, _: arrays.is_gray(p * 0 + 9)],
    arrays.upsample_residual: [
        lambda p, m, _: arrays.upsample_residual(p, p * 0.9, arrays.resize(p, 50, 40))
    ],
    arrays.fill_hidden: [lambda p, m, _: arrays.fill_hidden(p, m)],
    arrays.composite_on_white: [lambda p, m, _: arrays.composite_on_white(p, m)],
    encode.to_pillow: [
        lambda p, m, _: np.asarray(encode.to_pillow(p)),
        lambda p, m, _: np.asarray(encode.to_pillow(p, m)),
    ],
    encode.write_image: [
        _written(".png"),
        _written(".jpg"),
        _written(".webp"),
        _written(".tif", 16),
    ],
    encode.encode_image: [lambda p, m, _: encode.encode_image(p, ".png", alpha=m)],
    video.write_video: [_video],
    decode.from_array: [
        lambda p, m, _: decode.from_array(p),
        lambda p, m, _: decode.from_array(m),
        lambda p, m, _: decode.from_array(p / 255),
    ],
    load.load_image: [lambda p, m, _: load.load_image(p, "content").pixels],
    load.load_mask: [lambda p, m, _: load.load_mask(m, "mask", (20, 20)).mask],
    load.load_style: [lambda p, m, _: load.load_style(p, "style").image.pixels],
    load.load_region_style: [
        lambda p, m, _: load.load_region_style(load.Region(m, p, m), "region").mask
    ],
    masks.mask_from_image: [lambda p, m, _: masks.mask_from_image(p * 0 + m[..., None] * 255)],
    masks.aspect_note: [lambda p, m, _: masks.aspect_note(m, 20, 90)],
    masks.resize_mask: [lambda p, m, _: masks.resize_mask(m, 11, 12)],
    masks.partition_masks: [lambda p, m, _: masks.partition_masks([m, m * 0.5])],
    masks.layer_weights: [
        lambda p, m, _: masks.layer_weights(m, m.shape[0] // 2, m.shape[1] // 2, 6)
    ],
    masks.blend_kept: [lambda p, m, _: masks.blend_kept(m[..., None], p, p * 0.5)],
    masks.covers_a_position: [
        lambda p, m, _: masks.covers_a_position(m, m.shape[0] // 2, m.shape[1] // 2)
    ],
    colors.to_lab: [lambda p, m, _: colors.to_lab(p)],
    colors.lightness: [lambda p, m, _: colors.lightness(p)],
    colors.gray_from_lightness: [lambda p, m, _: colors.gray_from_lightness(m * 100)],
    colors.match_lightness: [lambda p, m, _: colors.match_lightness(p, p * 0.5)],
    colors.with_content_colors: [lambda p, m, _: colors.with_content_colors(p, p * 0.5)],
    colors.match_colors: [
        lambda p, m, _: colors.match_colors(p, p * 0.5),
        lambda p, m, _: colors.match_colors(p, p * 0.5, m, m),
    ],
    colors.color_moments: [
        lambda p, m, _: colors.color_moments(p).covariance,
        lambda p, m, _: colors.color_moments(p, m).mean,
    ],
    colors.color_transport: [
        lambda p, m, _: colors.color_transport(colors.color_moments(p).covariance, np.eye(3)),
    ],
    style_regions.build_regions: [
        lambda p, m, _: style_regions.build_regions(
            [StyleImage(p)], [MaskedStyle("a", StyleImage(p), m)], m * 0.5
        ),
        lambda p, m, _: style_regions.build_regions([StyleImage(p)], [], m * 0, m),
    ],
    style_regions.resize_regions: [
        lambda p, m, _: style_regions.resize_regions(_regions(p, m), 20, 30)
    ],
    style_regions.style_size: [lambda p, m, _: style_regions.style_size(StyleImage(p), 400)],
    style_regions.match_region_colors: [
        lambda p, m, _: style_regions.match_region_colors(_regions(p, m), p * 0.5, "match"),
        lambda p, m, _: style_regions.match_region_colors(_regions(p, m), p * 0.5, "content"),
    ],
    color_management.to_srgb_image: [
        lambda p, m, _: color_management.to_srgb_image(p / 255, color_management.ColorTags())
    ],
    color_management.to_unit_range: [lambda p, m, _: color_management.to_unit_range(p / 255)],
    color_management.to_rgb_values: [lambda p, m, _: color_management.to_rgb_values(p / 255)],
    color_management.from_lab: [lambda p, m, _: color_management.from_lab(p / 5)],
    transfer_functions.decode_srgb: [lambda p, m, _: transfer_functions.decode_srgb(p / 255)],
    transfer_functions.encode_srgb: [lambda p, m, _: transfer_functions.encode_srgb(p / 255)],
    transfer_functions.gamma_curve: [lambda p, m, _: transfer_functions.gamma_curve(2.2)(p / 255)],
    transfer_functions.decode_pq: [lambda p, m, _: transfer_functions.decode_pq(p / 255)],
    transfer_functions.encode_pq: [lambda p, m, _: transfer_functions.encode_pq(p / 255)],
    transfer_functions.decode_hlg: [lambda p, m, _: transfer_functions.decode_hlg(p / 255)],
    transfer_functions.roll_off: [lambda p, m, _: transfer_functions.roll_off(p / 100, 2.5)],
    transfer_functions.peak_light: [
        lambda p, m, _: transfer_functions.peak_light(p / 255, transfer_functions.SRGB),
    ],
    transfer_functions.to_srgb: [
        lambda p, m, _: transfer_functions.to_srgb(p / 255, transfer_functions.SRGB),
        lambda p, m, _: transfer_functions.to_srgb(p / 255, transfer_functions.ADOBE_RGB),
    ],
    value_range.scale_to_range: [
        lambda p, m, _: value_range.scale_to_range(p),
        lambda p, m, _: value_range.scale_to_range(m > 0.5),
    ],
    value_range.split_alpha: [
        lambda p, m, _: value_range.split_alpha(p),
        lambda p, m, _: value_range.split_alpha(m),
    ],
    pillow_reader.orient_pixels: [
        lambda p, m, _: pillow_reader.orient_pixels(Image.new("RGB", (2, 2)), p)
    ],
    reader.apply_orientation: [lambda p, m, _: [reader.apply_orientation(p, n) for n in range(9)]],
    value_range.masked_positions: [lambda p, m, _: value_range.masked_positions(p)],
    value_range.scale_alpha: [lambda p, m, _: value_range.scale_alpha(m)],
}


def public_functions():
    for found in pkgutil.walk_packages(images.__path__, "impasto.images."):
        module = importlib.import_module(found.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                yield function


def has_array(hint):
    """Whether a type is an array, or something with arrays in it."""
    if dataclasses.is_dataclass(hint) or hasattr(hint, "_fields"):
        return any(map(has_array, typing.get_type_hints(hint).values()))
    if typing.get_origin(hint) is np.ndarray:
        return True
    return any(map(has_array, typing.get_args(hint)))


def test_every_function_that_takes_an_array_is_in_the_table():
    takes = set()
    for function in public_functions():
        hints = typing.get_type_hints(function)
        if any(has_array(hint) for name, hint in hints.items() if name != "return"):
            takes.add(function)
    assert len(takes) > 30
    assert takes <= set(CASES), takes - set(CASES)


def flat(value):
    """Everything in a value, arrays in files as NumPy's."""
    if filearray.is_on_host(value):
        yield np.asarray(value)
    elif dataclasses.is_dataclass(value):
        yield from flat(list(vars(value).values()))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from flat(each)
    else:
        yield value


@pytest.mark.parametrize("function", CASES, ids=lambda function: function.__qualname__)
@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
@given(height=st.integers(16, 40), width=st.integers(16, 40), seed=st.integers(0, 9))
def test_an_array_in_a_file_gives_the_same(function, height, width, seed, tmp_path):
    random = np.random.default_rng(seed)
    image = random.uniform(0, 255, (height, width, 3)).astype(np.float32)
    mask = random.uniform(0, 1, (height, width)).astype(np.float32).round(1)
    mask[0, 0], mask[-1, -1] = 0, 1
    stored = [filearray.spill(image), filearray.spill(mask)]
    assert all(isinstance(each, filearray.FileArray) for each in stored)
    for case in CASES[function]:
        want = list(flat(case(image, mask, tmp_path)))
        got = list(flat(case(*stored, tmp_path)))
        assert len(got) == len(want)
        for ours, numpys in zip(got, want, strict=True):
            if isinstance(numpys, np.ndarray | float):
                np.testing.assert_allclose(ours, numpys, rtol=1e-5, atol=1e-4)
            else:
                assert ours == numpys
    assert np.array_equal(stored[0], image)  # nothing was written into the arrays given
    assert np.array_equal(stored[1], mask)
