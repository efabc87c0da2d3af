"""What fits into memory is begun, what does not is refused with the size that would."""

from types import SimpleNamespace

import pytest

from impasto import memory
from impasto.errors import SettingError


@pytest.fixture
def four_gigabytes(monkeypatch):
    machine = SimpleNamespace(available=4e9)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: machine)
    return machine


def test_what_fits_is_let_through(four_gigabytes):
    memory.require(512, 512)


def test_what_does_not_fit_is_refused_and_the_size_that_is_named_fits(four_gigabytes):
    with pytest.raises(
        SettingError, match=r"4000 x 3000 px needs about .* GB .* 4\.0 GB"
    ) as caught:
        memory.require(3000, 4000)
    size = int(str(caught.value).rsplit(" ", 1)[1])
    assert 512 < size < 4000
    memory.require(size * 3 // 4, size)
    with pytest.raises(SettingError):
        memory.require((size + 16) * 3 // 4 + 1, size + 16)


def test_where_nothing_fits_no_size_is_named(four_gigabytes):
    four_gigabytes.available = 1e8
    with pytest.raises(SettingError, match="free some memory first"):
        memory.require(100, 100)


def test_more_pixels_need_more():
    assert memory.needed(100, 100) < memory.needed(100, 101)
