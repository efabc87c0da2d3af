"""Areas of a clip: masks that are drawn on a frame and move with its content."""

import asyncio
import io
import json
import time

import numpy as np
import pytest
from PIL import Image

from impasto.errors import SettingError
from impasto.studio import clip_areas, clips, worker
from impasto.studio.clip_reading import ClipReading
from impasto.studio.store import Store, default_clip
from impasto.video import survey
from tests import tiny
from tests.studio.test_clips import begun, image, paint

moving = pytest.importorskip("tests.video.clips")

pytestmark = tiny.needs_kernels

HEIGHT, WIDTH, STEP = 96, 128, 2
"""The content of the clips moves by STEP pixels per frame to the left."""


def square(left, top=30, side=30):
    """A mask with a white square, as PNG."""
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[top : top + side, max(0, left) : max(0, left + side)] = 255
    out = io.BytesIO()
    Image.fromarray(values).save(out, "PNG")
    return out.getvalue()


def left_edge(mask):
    """The first column that is mostly in the square."""
    return int(np.argmax(np.asarray(mask, float)[45] > 127)) * WIDTH / np.shape(mask)[1]


@pytest.fixture
def read_clip(tmp_path):
    """A store with a clip that was read: a pan whose frame 4 is held, and the mask of a square."""
    store = Store(tmp_path / "studio")
    store.prepare()
    frames = moving.pan(10, HEIGHT, WIDTH, STEP)
    frames[4] = frames[3]
    path = moving.write(tmp_path / "pan.mp4", frames)
    clip = clips.add_clip(store, path, "pan.mp4")["id"]
    clips.read_clip(store, clip, lambda count: None)
    source = tmp_path / "mask.png"
    source.write_bytes(square(60))
    return store, clip, store.add_image(source, "mask.png", mask=True)["id"]


def area_of(mask, frame, begin, end):
    return {"mask": mask, "frame": frame, "begin": begin, "end": end, "first": frame, "last": frame}


def session_with(store, clip, **changes):
    return {**store.new_session({}), "photograph": clip, "clip": default_clip(), **changes}


# Moving -----------------------------------------------------------------------------------------


def test_a_mask_moves_both_ways_with_the_content(read_clip):
    store, clip, mask = read_clip
    clips.frame_path(store.image_folder(clip) / clips.FRAMES, 4).unlink()  # as of a held frame
    known = []
    clip_areas.trace(store, clip, area_of(mask, 5, 0, 9), lambda *each: known.append(each))
    folder = clip_areas.area_folder(store, clip, mask, 5)
    assert clip_areas.known_frames(folder, 5) == (0, 9)
    assert known[0] == (5, 5)
    assert known[-1] == (0, 9)
    for number in range(10):
        shown = 3 if number == 4 else number
        with Image.open(clip_areas.area_path(folder, number)) as moved:
            assert left_edge(moved) == pytest.approx(60 - STEP * (shown - 5), abs=1.5), number


def test_a_mask_that_was_moved_is_not_moved_again(read_clip):
    store, clip, mask = read_clip
    folder = clip_areas.area_folder(store, clip, mask, 5)
    clip_areas.trace(store, clip, area_of(mask, 5, 4, 6))
    assert clip_areas.known_frames(folder, 5) == (4, 6)
    known = []
    clip_areas.trace(store, clip, area_of(mask, 5, 4, 6), lambda *each: known.append(each))
    assert known == []
    clip_areas.trace(store, clip, area_of(mask, 5, 4, 8), lambda *each: known.append(each))
    assert known[-1] == (4, 8)


def test_files_of_masks_that_no_session_uses_are_removed(read_clip):
    store, clip, mask = read_clip
    for frame in (2, 5):
        clip_areas.trace(store, clip, area_of(mask, frame, frame, frame))
    store.save_session(session_with(store, clip, keep=mask, keep_frame=5))
    clip_areas.remove_unused(store, clip)
    names = [each.name for each in (store.image_folder(clip) / clip_areas.AREAS).iterdir()]
    assert names == [f"{mask}-5"]


def test_a_mask_that_leaves_the_image_is_omitted(read_clip, tmp_path):
    store, clip, _ = read_clip
    source = tmp_path / "left.png"
    source.write_bytes(square(0, side=4))
    frames = str(store.image_folder(clip) / clips.FRAMES)
    gone = {"path": str(source), "feather": 0.0, "frame": 0, "target": 9}
    folder = tmp_path / "job"
    folder.mkdir()
    command = {
        **{"folder": str(folder), "styles": ["a.png"], "regions": [(gone, "b.png")]},
        **{"keep": gone, "recipe": {"style_scale": [1.0, 2.0]}, "frames": frames},
    }
    made = worker.with_prepared_masks(command)
    assert (made["keep"], made["regions"], made["recipe"]) == (None, [], {"style_scale": (1.0,)})
    with pytest.raises(SettingError, match="the area of the style is not in this frame"):
        worker.with_prepared_masks({**command, "styles": []})


def test_an_area_that_cannot_be_moved_gives_a_note_and_one_that_is_removed_ends(read_clip):
    store, clip, mask = read_clip
    published = []

    async def move():
        reading = ClipReading(store, published.append)
        reading.ensure_areas("first", clip, [area_of("0" * 16, 5, 4, 6), area_of(mask, 5, 4, 6)])
        removed = list(reading._areas["first"].values())
        reading.ensure_areas("first", clip, [area_of("0" * 16, 5, 4, 6)])
        await asyncio.gather(*removed, return_exceptions=True)
        await reading.close()
        return [each.cancelled() for each in removed]

    assert asyncio.run(move()) == [False, True]
    (note,) = published
    assert note["note"].startswith("an area could not be moved along the clip")
    assert not (store.image_folder(clip) / clip_areas.AREAS / f"{mask}-5").exists()


def test_the_survey_of_a_range_is_that_of_its_frames_alone(tmp_path):
    """A range may start with a held frame, and its first frame is compared with none."""
    store = Store(tmp_path / "studio")
    store.prepare()
    frames = [*moving.pan(4, HEIGHT, WIDTH), *moving.pan(4, HEIGHT, WIDTH, texture=moving.OTHER)]
    frames[2] = frames[1]
    path = moving.write(tmp_path / "a.mp4", frames)
    clip = clips.add_clip(store, path, "a.mp4")["id"]
    clips.read_clip(store, clip, lambda count: None)
    stored = store.image_folder(clip) / clips.SURVEY
    info = clips.reader.probe(store.image_path(clip))
    for first in (0, 1, 2, 5):
        alone = survey.survey_clip(clips.reader.iter_frames(info, first, 6), None, first)
        part = clips.part_survey(stored, first, 6, None)
        assert part.shots == alone.shots
        assert part.frames == alone.frames


# Jobs -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pan(tmp_path_factory):
    """Eight frames that move, and a second shot of four frames."""
    path = tmp_path_factory.mktemp("clips") / "pan.mp4"
    frames = [
        *moving.pan(8, HEIGHT, WIDTH, STEP),
        *moving.pan(4, HEIGHT, WIDTH, STEP, moving.OTHER[::-1]),
    ]
    return moving.write(path, frames)


def protected(client, pan, clip=None, frame=2, **recipe):
    """A session whose clip has a protected square, drawn on a frame."""
    session = begun(client, pan, clip, **{"size": str(WIDTH), **recipe})
    mask = client.upload(square(60), "m.png", "mask")
    changes = {"keep": mask["id"], "keep_frame": frame}
    return client.json("PATCH", f"/api/sessions/{session['id']}", changes)


def kept(shown, number, at):
    """The mean difference to the clip within the square, which has moved from frame ``at``."""
    left = 60 - STEP * (number - at)
    rows, columns = slice(36, 54), slice(left + 6, left + 24)
    content = moving.pan(number + 1, HEIGHT, WIDTH, STEP)[number]
    return np.abs(np.asarray(shown, float) - content)[rows, columns].mean()


def test_a_protected_area_moves_with_what_it_covers(client, pan):
    session = protected(client, pan, {"last": 7, "every": "1"})
    assert session["keep_frame"] == 2
    job = client.until(paint(client, session)["id"], "done", "failed")
    assert job["error"] is None
    for number in (0, 2, 7):
        shown = image(client, f"/api/works/{job['id']}/painted/{number}.jpg")
        assert kept(shown, number, 2) < 6
        content = moving.pan(8, HEIGHT, WIDTH, STEP)[number]
        assert np.abs(np.asarray(shown, float) - content)[:20].mean() > 9


def test_an_area_drawn_before_the_range_is_moved_to_it(client, pan):
    session = protected(client, pan, {"first": 5, "last": 6, "every": "1"})
    job = client.until(paint(client, session)["id"], "done", "failed")
    assert job["error"] is None
    assert kept(image(client, f"/api/works/{job['id']}/painted/6.jpg"), 6, 2) < 6


def test_a_single_frame_has_the_area_where_it_is_there(client, pan):
    session = protected(client, pan)
    job = client.until(paint(client, session, frame=7)["id"], "done", "failed")
    assert job["error"] is None
    assert kept(image(client, job["result"]), 7, 2) < 6


def test_other_shots_have_no_area(client, folder, pan):
    session = protected(client, pan, {"first": 8})
    job = client.until(paint(client, session)["id"], "done", "failed")
    assert job["error"] is None
    stored = json.loads((folder / "works" / job["id"] / "work.json").read_text())
    assert stored["keep"] is None
    # The only style is in an area of the first shot.
    style = session["paintings"][0]["picture"]["id"]
    region = {"painting": style, "mask": session["keep"]["id"], "scale": 1, "feather": 0}
    changes = {"paintings": [], "regions": [{**region, "frame": 2}]}
    client.json("PATCH", f"/api/sessions/{session['id']}", changes)
    error = client.json("POST", f"/api/sessions/{session['id']}/paint", {}, expected=400)["error"]
    assert "the area of the style is in another shot" in error


def test_a_style_is_used_in_an_area_that_moves(client, pan):
    session = begun(client, pan, {"last": 4, "every": "1"}, size=str(WIDTH))
    mask = client.upload(square(60), "m.png", "mask")["id"]
    dots = client.json("POST", "/api/samples/dots")["id"]
    region = {"painting": dots, "mask": mask, "scale": 1, "feather": 0.01, "frame": 4}
    changed = client.json("PATCH", f"/api/sessions/{session['id']}", {"regions": [region]})
    assert changed["regions"][0]["frame"] == 4
    done = client.until(paint(client, session)["id"], "done", "failed")
    assert done["error"] is None
    assert done["video"]["done"] == 5


def test_the_page_receives_the_area_of_each_frame_of_its_shot(client, pan):
    session = protected(client, pan)
    mask = session["keep"]["id"]
    url = f"/api/sessions/{session['id']}/areas"
    for _ in range(100):
        (area,) = client.json("GET", url)["areas"]
        if (area["first"], area["last"]) == (0, 7):
            break
        time.sleep(0.1)
    assert area == {"mask": mask, "frame": 2, "begin": 0, "end": 7, "first": 0, "last": 7}
    files = f"/api/pictures/{session['photograph']['id']}/areas/{mask}/2"
    assert left_edge(image(client, f"{files}/6.png")) == pytest.approx(60 - 4 * STEP, abs=1.5)
    for missing in (f"{files}/8.png", files.replace(mask, "0" * 16) + "/6.png"):
        assert client.request("GET", missing)[0] == 404
    # With another content image, the area starts at the first frame, and a photo has none.
    photo = client.json("POST", "/api/samples/cat")["id"]
    address = f"/api/sessions/{session['id']}"
    assert client.json("PATCH", address, {"photograph": photo})["keep_frame"] == 0
    assert client.json("GET", url)["areas"] == []
    assert client.json("PATCH", address, {"keep": None, "keep_frame": None})["keep"] is None


def test_the_clip_is_surveyed_once(client, folder, pan):
    """The job has the survey of the upload: a cut that is written there is one of the job."""
    session = begun(client, pan, {"last": 5, "every": "1"})
    path = folder / "pictures" / session["photograph"]["id"] / clips.SURVEY
    rows = json.loads(path.read_text())
    changed = [[*row[:-1], number in (0, 3)] for number, row in enumerate(rows)]
    path.write_text(json.dumps(changed))
    try:
        job = paint(client, session)
        seen = set()
        while (known := client.json("GET", f"/api/works/{job['id']}"))["state"] != "done":
            seen.add((known["progress"] or {}).get("shots"))
            assert known["state"] != "failed", known["error"]
        assert 2 in seen
    finally:
        path.write_text(json.dumps(rows))
