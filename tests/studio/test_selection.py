"""Selecting the subject, faces or the sky with one click."""

import io

import numpy as np
import pytest
from PIL import Image

from impasto.errors import SettingError
from impasto.images import samples

pytest.importorskip("cv2")

from impasto.studio import selection


def write(pixels, folder):
    path = folder / "image.png"
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def selected(path, part):
    """Return a selection as booleans (height, width)."""
    mask = Image.open(io.BytesIO(selection.select_part(path, part)))
    assert mask.size == Image.open(path).size
    return np.asarray(mask) > 127


def overlap(found, expected):
    return (found & expected).sum() / (found | expected).sum()


def test_the_subject_is_what_differs_from_the_border_and_the_background_is_the_rest(tmp_path):
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:200, 0:300]
    disk = np.hypot(x - 150, y - 110) < 60
    pixels = np.where(disk[..., None], (200, 60, 40), (60, 110, 70)) + random.normal(
        0, 6, (200, 300, 3)
    )
    path = write(pixels.clip(0, 255), tmp_path)
    assert overlap(selected(path, "subject"), disk) > 0.9
    assert overlap(selected(path, "background"), ~disk) > 0.9


def test_the_sky_is_above_the_horizon(tmp_path):
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:200, 0:300]
    sky = y < 90 + 20 * np.sin(x / 40)
    ground = np.stack([70 + 0 * x, 80 + 0 * x, 40 + 0 * x], -1) + random.normal(
        0, 25, (200, 300, 1)
    )
    pixels = np.where(sky[..., None], np.stack([120 + y / 2, 160 + y / 3, 225 + 0 * y], -1), ground)
    assert overlap(selected(write(pixels.clip(0, 255), tmp_path), "sky"), sky) > 0.9


def test_a_face_is_found_in_a_portrait(tmp_path):
    path = write(samples.load_content("astronaut"), tmp_path)
    face = selected(path, "face")
    y, x = np.nonzero(face)
    # The face of the portrait is around (222, 130) of 512 px.
    assert abs(x.mean() - 222) < 30
    assert abs(y.mean() - 130) < 40
    assert 0.01 < face.mean() < 0.15


@pytest.mark.parametrize("part", ["sky", "face"])
def test_without_such_a_part_the_message_says_what_to_do(part, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3))
    with pytest.raises(SettingError, match=f"no {part} was found in this image: use the brush"):
        selection.select_part(write(noise, tmp_path), part)
