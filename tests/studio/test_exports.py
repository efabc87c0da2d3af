"""Downloads: their names, archives and films."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from impasto.errors import SettingError
from impasto.images.formats import video
from impasto.studio import exports, versions
from impasto.studio.store import Store
from impasto.studio.worker import FRAMES, FilmRecorder
from tests.studio.test_store import begun


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    made.prepare()
    return made


def finished(store, session, color, **about):
    """Return a job with a result of one color."""
    job = {**versions.create_job(store, session), "state": "done", **about}
    store.save_job(job)
    Image.new("RGB", (30, 20), color).save(store.job_folder(job["id"]) / "picture.png")
    return job


def test_downloads_are_named_after_their_inputs_or_by_the_user(store):
    session, job = begun(store)
    content = store.image(session["photograph"])["name"].removesuffix(".png")
    assert exports.download_name(store, job, ".png") == f"{content}-b-512.png"
    named = {**job, "name": "my cat/1"}
    assert exports.download_name(store, named, ".jpg") == "1.jpg"
    store.remove_session(session["id"])


def test_an_archive_has_each_result_under_its_own_name(store):
    session, job = begun(store)
    jobs = [finished(store, session, color) for color in ("red", "blue")]
    path = exports.write_zip(store, jobs)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        colors = [Image.open(archive.open(each)).getpixel((0, 0)) for each in names]
    assert names[1] == names[0].replace(".png", " (2).png")
    assert colors == [(255, 0, 0), (0, 0, 255)]
    with pytest.raises(SettingError, match="not finished"):
        exports.write_zip(store, [job])
    with pytest.raises(SettingError, match="1 to 200 results; 0 were chosen"):
        exports.write_zip(store, [])


def test_a_film_has_the_images_of_the_run_and_those_after_a_resume(store, monkeypatch):
    session, _ = begun(store)
    folder = store.job_folder(finished(store, session, "red")["id"])
    with pytest.raises(SettingError, match="paint it again"):
        exports.write_film(folder)
    image = np.zeros((900, 1200, 3), np.float32)
    recorder = FilmRecorder(folder / FRAMES, 450)
    for value in range(10):
        recorder.note(image + 20 * value)
    resumed = FilmRecorder(folder / FRAMES, 450)
    resumed.note(image + 250)
    assert len(list((folder / FRAMES).iterdir())) == 3, "one of five steps"
    films = []
    monkeypatch.setattr(video, "write_video", lambda frames, path: films.append((frames, path)))
    assert exports.write_film(folder) == folder / "film.mp4"
    frames, path = films[0]
    assert path == folder / "film.mp4"
    assert [each.shape for each in frames] == [(540, 720, 3)] * 3
    assert [round(each.mean() / 10) for each in frames] == [0, 10, 25]
