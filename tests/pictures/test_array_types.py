"""Every function of pictures that takes an array takes one in a file as it takes NumPy's.

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

from impasto import paged, pictures
from impasto.pictures import (
    colors,
    decode,
    encode,
    films,
    guidance,
    masks,
    profiles,
    raster,
    transfer,
    values,
)
from impasto.pictures.guidance import Covered, Painting, StyledRegion
from impasto.pictures.saving import Saving


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """A few rows are a block, and everything is large."""
    monkeypatch.setattr(paged, "BLOCK", 1000)
    monkeypatch.setattr(paged, "LARGE", 0)


def _written(ending, depth=8):
    def write(picture, mask, folder):
        path = folder / f"picture{ending}"
        encode.write(picture, path, alpha=mask, saving=Saving(depth=depth))
        return path.read_bytes()

    return write


def _film(picture, mask, folder):
    films.write_film([picture, picture], folder / "film.gif")
    return (folder / "film.gif").read_bytes()


def _regions(picture, mask):
    return (StyledRegion((Painting(picture, mask=mask),), mask),)


Case = typing.Callable[[typing.Any, typing.Any, typing.Any], typing.Any]

CASES: dict[typing.Callable[..., typing.Any], list[Case]] = {
    raster.size_of: [lambda p, m, _: raster.size_of(p)],
    raster.resize: [lambda p, m, _: raster.resize(p, 30, 20)],
    raster.resample: [lambda p, m, _: raster.resample(p - 99, 9, 40)],
    raster.is_gray: [lambda p, m, _: raster.is_gray(p), lambda p, m, _: raster.is_gray(p * 0 + 9)],
    raster.carry_up: [lambda p, m, _: raster.carry_up(p, p * 0.9, raster.resize(p, 50, 40))],
    raster.fill_hidden: [lambda p, m, _: raster.fill_hidden(p, m)],
    raster.on_white: [lambda p, m, _: raster.on_white(p, m)],
    encode.to_image: [
        lambda p, m, _: np.asarray(encode.to_image(p)),
        lambda p, m, _: np.asarray(encode.to_image(p, m)),
    ],
    encode.write: [_written(".png"), _written(".jpg"), _written(".webp"), _written(".tif", 16)],
    encode.encoded: [lambda p, m, _: encode.encoded(p, ".png", alpha=m)],
    films.write_film: [_film],
    decode.array_pixels: [
        lambda p, m, _: decode.array_pixels(p),
        lambda p, m, _: decode.array_pixels(m),
        lambda p, m, _: decode.array_pixels(p / 255),
    ],
    masks.read: [lambda p, m, _: masks.read(p * 0 + m[..., None] * 255)],
    masks.stretched: [lambda p, m, _: masks.stretched(m, 20, 90)],
    masks.resize: [lambda p, m, _: masks.resize(m, 11, 12)],
    masks.share_out: [lambda p, m, _: masks.share_out([m, m * 0.5])],
    masks.at_layer: [lambda p, m, _: masks.at_layer(m, m.shape[0] // 2, m.shape[1] // 2, 6)],
    masks.compose: [lambda p, m, _: masks.compose(m[..., None], p, p * 0.5)],
    masks.reaches: [lambda p, m, _: masks.reaches(m, m.shape[0] // 2, m.shape[1] // 2)],
    colors.to_lab: [lambda p, m, _: colors.to_lab(p)],
    colors.lightness: [lambda p, m, _: colors.lightness(p)],
    colors.gray: [lambda p, m, _: colors.gray(m * 100)],
    colors.match_lightness: [lambda p, m, _: colors.match_lightness(p, p * 0.5)],
    colors.with_colors_of: [lambda p, m, _: colors.with_colors_of(p, p * 0.5)],
    colors.match: [
        lambda p, m, _: colors.match(p, p * 0.5),
        lambda p, m, _: colors.match(p, p * 0.5, m, m),
    ],
    guidance.lay_out: [
        lambda p, m, _: guidance.lay_out([Painting(p)], [Covered("a", Painting(p), m)], m * 0.5),
        lambda p, m, _: guidance.lay_out([Painting(p)], [], m * 0, m),
    ],
    guidance.at_level: [lambda p, m, _: guidance.at_level(_regions(p, m), 20, 30)],
    guidance.size_seen: [lambda p, m, _: guidance.size_seen(Painting(p), 400)],
    guidance.colored: [
        lambda p, m, _: guidance.colored(_regions(p, m), p * 0.5, "match"),
        lambda p, m, _: guidance.colored(_regions(p, m), p * 0.5, "content"),
    ],
    profiles.to_picture: [lambda p, m, _: profiles.to_picture(p / 255, profiles.Said())],
    profiles.unit: [lambda p, m, _: profiles.unit(p / 255)],
    profiles.plain: [lambda p, m, _: profiles.plain(p / 255)],
    profiles.from_lab: [lambda p, m, _: profiles.from_lab(p / 5)],
    transfer.from_srgb: [lambda p, m, _: transfer.from_srgb(p / 255)],
    transfer.as_srgb: [lambda p, m, _: transfer.as_srgb(p / 255)],
    transfer.gamma: [lambda p, m, _: transfer.gamma(2.2)(p / 255)],
    transfer.from_pq: [lambda p, m, _: transfer.from_pq(p / 255)],
    transfer.as_pq: [lambda p, m, _: transfer.as_pq(p / 255)],
    transfer.from_hlg: [lambda p, m, _: transfer.from_hlg(p / 255)],
    transfer.roll_off: [lambda p, m, _: transfer.roll_off(p / 100, 2.5)],
    transfer.to_srgb: [
        lambda p, m, _: transfer.to_srgb(p / 255, transfer.SRGB),
        lambda p, m, _: transfer.to_srgb(p / 255, transfer.ADOBE_RGB),
    ],
    values.scaled: [lambda p, m, _: values.scaled(p), lambda p, m, _: values.scaled(m > 0.5)],
    values.apart: [lambda p, m, _: values.apart(p), lambda p, m, _: values.apart(m)],
    values.masked: [lambda p, m, _: values.masked(p)],
    values.as_alpha: [lambda p, m, _: values.as_alpha(m)],
}


def public_functions():
    for found in pkgutil.iter_modules(pictures.__path__):
        module = importlib.import_module(f"impasto.pictures.{found.name}")
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
    if paged.on_host(value):
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
    picture = random.uniform(0, 255, (height, width, 3)).astype(np.float32)
    mask = random.uniform(0, 1, (height, width)).astype(np.float32).round(1)
    mask[0, 0], mask[-1, -1] = 0, 1
    stored = [paged.stored(picture), paged.stored(mask)]
    assert all(isinstance(each, paged.Paged) for each in stored)
    for case in CASES[function]:
        want = list(flat(case(picture, mask, tmp_path)))
        got = list(flat(case(*stored, tmp_path)))
        assert len(got) == len(want)
        for ours, numpys in zip(got, want, strict=True):
            if isinstance(numpys, np.ndarray | float):
                np.testing.assert_allclose(ours, numpys, rtol=1e-5, atol=1e-4)
            else:
                assert ours == numpys
    assert np.array_equal(stored[0], picture)  # nothing was written into the arrays given
    assert np.array_equal(stored[1], mask)
