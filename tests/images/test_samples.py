"""The sample images keep their contract, and are read without a network."""

import socket
from pathlib import Path

import numpy as np
import pytest

from impasto.errors import InputError
from impasto.images.samples import (
    CONTENTS,
    SIZE,
    STYLES,
    load_content,
    load_sample,
    make_style,
)


@pytest.mark.parametrize("size", [SIZE, 128, 1000])
@pytest.mark.parametrize("name", STYLES)
def test_style_sample_keeps_its_contract(name: str, size: int) -> None:
    image = make_style(name, size)
    assert image.dtype == np.float32
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert max(image.shape) == size
    assert min(image.shape[:2]) >= size / 2
    assert image.min() >= 0
    assert 200 < image.max() <= 255
    assert image.tobytes() == make_style(name, size).tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("swirl",), "swirls"),
        (("",), "watercolour"),
        (("glass", 8), "32"),
    ],
)
def test_unknown_style_sample_is_rejected(arguments: tuple[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_style(*arguments)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    for entrance in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, entrance, refuse)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", CONTENTS)
def test_content_sample_keeps_its_contract_without_a_network(name: str) -> None:
    image = load_content(name)
    assert image.dtype == np.float32
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert min(image.shape[:2]) >= 256
    assert image.min() >= 0
    assert 200 < image.max() <= 255
    assert np.array_equal(image, load_content(name))
    assert np.ptp(image, axis=2).mean() > 20, "a photo in color"


@pytest.mark.usefixtures("offline")
def test_offline_fixture_would_notice_a_download() -> None:
    with pytest.raises(AssertionError, match="network"):
        socket.create_connection(("example.org", 80))


def test_unknown_or_missing_sample_is_rejected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="coffee"):
        load_content("cofee")
    monkeypatch.setattr("impasto.images.samples.FOLDER", tmp_path)
    with pytest.raises(InputError, match="missing"):
        make_style("glass")
    monkeypatch.setattr("skimage.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(InputError, match="missing"):
        load_content("coffee")


def test_every_sample_has_one_name_and_any_size():
    for name in (*CONTENTS, *STYLES):
        image = load_sample(name, 64)
        assert image.dtype == np.float32
        assert max(image.shape[:2]) == 64
    assert load_sample("cat").shape == load_content("cat").shape
    with pytest.raises(InputError, match="swirls"):
        load_sample("swirl")
    with pytest.raises(InputError, match="minimum is 32"):
        load_sample("cat", 8)
