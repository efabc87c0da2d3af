"""Clips: upload, frames of the timeline, forecast, a painted range, stop, resume, restart."""

import io
import json
import signal
import time

import numpy as np
import pytest
from PIL import Image

from impasto.video import reader
from tests import tiny
from tests.studio.client import Server

av = pytest.importorskip("av")
moving = pytest.importorskip("tests.video.clips")

pytestmark = tiny.needs_kernels


@pytest.fixture(scope="module")
def two_shots(tmp_path_factory):
    """A clip of six frames with a cut at frame 3, and with sound."""
    path = tmp_path_factory.mktemp("clips") / "two shots.mp4"
    frames = [*moving.pan(3), *moving.pan(3, texture=moving.OTHER[::-1])]
    return moving.write(path, frames, audio=True, pixel_format="yuv420p")


def upload(client, path, role="content"):
    name = path.name.replace(" ", "%20")
    return client.json("POST", f"/api/pictures?name={name}&role={role}", path.read_bytes())


def read(client, clip):
    """Return the description of a clip when all of its frames were read."""
    for _ in range(300):
        found = client.json("GET", f"/api/pictures/{clip['id']}/clip")
        if found["complete"]:
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def begun(client, path, clip=None, **recipe):
    """Return a session with a clip that was read."""
    session = client.session(**{"style_loss": "matching", **recipe})
    added = upload(client, path)
    read(client, added)
    changes = {"photograph": added["id"], "clip": clip or {}}
    client.json("PATCH", f"/api/sessions/{session['id']}", {"photograph": added["id"]})
    return client.json("PATCH", f"/api/sessions/{session['id']}", changes)


def paint(client, session, **request):
    return client.json("POST", f"/api/sessions/{session['id']}/paint", request)


def image(client, url):
    status, _, data = client.request("GET", url)
    assert status == 200, data
    return Image.open(io.BytesIO(data))


def frames_of(client, url):
    status, _, data = client.request("GET", url)
    assert status == 200
    with av.open(io.BytesIO(data)) as container:
        count = sum(1 for _ in container.decode(video=0))
        return count, [each.type for each in container.streams]


# Reading ----------------------------------------------------------------------------------------


def test_an_uploaded_clip_has_frames_times_and_cuts(client, two_shots):
    clip = upload(client, two_shots)
    assert (clip["width"], clip["height"], clip["name"]) == (64, 48, "two shots.mp4")
    assert clip["clip"] == {**clip["clip"], "frames": 6, "rate": 24.0, "sound": True}
    found = read(client, clip)
    assert found["error"] is None
    assert (found["read"], found["frames"], found["cuts"]) == (6, 6, [3])
    assert found["times"] == pytest.approx([n / 24 for n in range(6)])
    url = f"/api/pictures/{clip['id']}/frames"
    shown = np.asarray(image(client, f"{url}/1.jpg"), float)
    assert np.abs(shown - moving.pan(3)[1]).mean() < 6
    assert max(image(client, f"{url}/5.jpg?small").size) <= 160
    assert client.request("GET", f"/api/pictures/{'0' * 16}/frames/0.jpg")[0] == 404


def test_an_animated_gif_is_a_clip_as_content_and_an_image_as_style(client, tmp_path):
    path = tmp_path / "loop.gif"
    images = [Image.fromarray(np.uint8(each)) for each in moving.pan(3)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=80)
    assert upload(client, path, "picture")["clip"] is None
    assert upload(client, path)["clip"]["frames"] == 3
    assert read(client, upload(client, path))["read"] == 3
    still = tmp_path / "still.gif"
    images[2].save(still)
    assert upload(client, still)["clip"] is None


def test_a_clip_that_is_damaged_or_a_style_gives_one_line(client, two_shots, tmp_path):
    playlist = tmp_path / "playlist.mp4"
    playlist.write_text(f"#EXTM3U\n#EXTINF:1,\nfile://{two_shots}\n#EXT-X-ENDLIST\n")
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(two_shots.read_bytes()[:60])
    for path, role, words in (
        (damaged, "content", "damaged.mp4 cannot be read as a video"),
        (playlist, "content", "playlist.mp4 is not a video: expected MP4"),
        (two_shots, "picture", "a video, not an image"),
    ):
        name = path.name.replace(" ", "%20")
        answer = client.json(
            "POST", f"/api/pictures?name={name}&role={role}", path.read_bytes(), expected=415
        )
        assert words in answer["error"]
        assert "\n" not in answer["error"]
        assert "incoming" not in answer["error"]


# Settings and forecast --------------------------------------------------------------------------


def test_settings_of_a_clip_are_checked_and_a_new_clip_has_none_of_the_old(client, two_shots):
    session = begun(client, two_shots, {"first": 1, "last": 4, "every": "2", "cuts": [2]})
    assert session["clip"] == {
        **{"first": 1, "last": 4, "steady": 1.0, "every": "2", "hold": 1, "cuts": [2]},
        "keys": [],
    }
    address = f"/api/sessions/{session['id']}"
    for wrong, words in (
        ({"every": "x"}, "every is 'x': expected auto"),
        ({"every": "17"}, "every is 17"),
        ({"steady": 2}, "steady is 2"),
        ({"first": 5}, "before its start 5"),
        ({"keys": [{"frame": 1, "picture": "0" * 16}]}, "no longer exists"),
    ):
        expected = 404 if "keys" in wrong else 400
        error = client.json("PATCH", address, {"clip": wrong}, expected=expected)["error"]
        assert words in error
    photo = client.json("POST", "/api/samples/cat")["id"]
    changed = client.json("PATCH", address, {"photograph": photo})["clip"]
    assert (changed["first"], changed["last"], changed["cuts"]) == (0, None, None)
    assert changed["every"] == "2"


def test_the_forecast_counts_the_frames_and_shots_of_the_range(client, two_shots):
    session = begun(client, two_shots)
    address = f"/api/sessions/{session['id']}"
    whole = client.json("POST", f"{address}/forecast")
    assert whole["frames"] == "6 frames in 2 shots"
    assert "MB of disk" in whole["text"]
    client.json("PATCH", address, {"clip": {"first": 3}})
    assert client.json("POST", f"{address}/forecast")["frames"] == "3 frames in 1 shot"
    client.json("PATCH", address, {"clip": {"cuts": [4, 5]}})
    part = client.json("POST", f"{address}/forecast")
    assert part["frames"] == "3 frames in 3 shots"
    assert part["memory"] == whole["memory"]


# Painting ---------------------------------------------------------------------------------------


def test_a_range_is_painted_and_downloaded_under_the_names_of_its_inputs(client, two_shots):
    session = begun(client, two_shots, {"first": 1, "last": 4, "every": "1"})
    job = paint(client, session)
    assert (job["kind"], job["video"]["done"]) == ("clip", 0)
    done = client.until(job["id"], "done", "failed")
    assert done["error"] is None
    assert done["video"] == {
        **{"first": 1, "last": 4, "done": 4, "latest": 4},
        **{"steady": 1.0, "every": "1", "hold": 1, "cuts": None},
        "url": done["video"]["url"],
    }
    assert frames_of(client, done["video"]["url"]) == (4, ["video", "audio"])
    assert image(client, f"/api/works/{job['id']}/painted/4.jpg").size == (48, 36)
    _, headers, _ = client.request("GET", f"{done['video']['url']}&download")
    assert (
        'filename="two shots-swirls-48.mp4"'
        in headers["content-disposition"]
        .replace("two%20shots", "two shots")
        .replace("filename*=utf-8''", 'filename="')
        + '"'
    )
    status, headers, part = client.request("GET", done["video"]["url"], Range="bytes=0-9")
    assert (status, len(part)) == (206, 10)
    assert client.json("GET", f"/api/works/{job['id']}")["resumable"] is False
    again = paint(client, session, before=job["id"])
    assert client.until(again["id"], "done")["differs"] == []


def test_one_frame_is_painted_as_an_image(client, two_shots):
    session = begun(client, two_shots)
    done = client.until(paint(client, session, frame=4)["id"], "done", "failed")
    assert (done["kind"], done["frame"], done["video"]) == ("frame", 4, None)
    assert done["stem"] == "two shots-frame-4-swirls-48"
    assert image(client, done["result"]).size == (48, 36)
    beyond = client.until(paint(client, session, frame=99)["id"], "failed")
    assert beyond["error"].startswith("the clip has no frame 99")


def test_a_sheet_of_a_clip_paints_one_frame(client, two_shots):
    session = begun(client, two_shots)
    request = {"vary": {"strength": ["0.2", "0.8"]}, "frame": 2}
    works = client.json("POST", f"/api/sessions/{session['id']}/sweep", request)["works"]
    for each in works:
        assert client.until(each, "done", "failed")["frame"] == 2


def test_a_key_frame_is_shown_unchanged(client, two_shots, tmp_path):
    path = tmp_path / "key.png"
    Image.new("RGB", (48, 36), (250, 20, 30)).save(path)
    key = upload(client, path, "picture")
    session = begun(client, two_shots, {"keys": [{"frame": 3, "picture": key["id"]}]})
    assert session["clip"]["keys"][0]["picture"]["name"] == "key.png"
    done = client.until(paint(client, session)["id"], "done", "failed")
    assert done["error"] is None
    shown = np.asarray(image(client, f"/api/works/{done['id']}/painted/3.jpg"), float)
    assert np.abs(shown - (250, 20, 30)).mean() < 12


@pytest.fixture
def long_clip(tmp_path):
    return moving.write(tmp_path / "long.mp4", moving.crossing(40, 96, 128))


def painted(client, job, count):
    """Wait until so many frames are painted, and return the job."""
    for _ in range(600):
        known = client.json("GET", f"/api/works/{job['id']}")
        if known["video"]["done"] >= count or known["state"] == "failed":
            return known
        time.sleep(0.1)
    raise AssertionError(known)


def test_a_stopped_clip_has_its_frames_so_far_and_resumes(client, long_clip):
    session = begun(client, long_clip, {"every": "1"}, size="96")
    job = paint(client, session)
    known = painted(client, job, 2)
    assert known["progress"]["event"] == "frame"
    refused = {"settings": {"strength": "0.2"}}
    error = client.json("POST", f"/api/works/{job['id']}/steer", refused, expected=400)["error"]
    assert "stop it, and paint it again" in error
    client.json("POST", f"/api/works/{job['id']}/stop")
    stopped = client.until(job["id"], "stopped")
    assert stopped["resumable"]
    assert 2 <= frames_of(client, stopped["video"]["url"])[0] < 40
    client.json("PATCH", f"/api/sessions/{session['id']}", {"clip": {"last": 3}})
    client.json("POST", f"/api/works/{job['id']}/resume")
    more = painted(client, job, stopped["video"]["done"] + 1)
    assert more["video"]["first"] == 0  # the job keeps its own range
    client.json("POST", f"/api/works/{job['id']}/stop")
    assert client.until(job["id"], "stopped")["video"]["done"] > stopped["video"]["done"]


@pytest.mark.slow
def test_a_clip_resumes_after_the_server_was_killed(tmp_path, two_shots):
    """The frames are the same as without the interruption, except for how they are encoded."""
    results = []
    for kills in (0, 1):
        folder = tmp_path / str(kills)
        server = Server(folder)
        client = server.client()
        session = begun(client, two_shots, {"every": "1"})
        job = paint(client, session)
        if kills:
            painted(client, job, 2)
            server.end(signal.SIGKILL)
            server = Server(folder)
            client = server.client()
        done = client.until(job["id"], "done", "failed")
        assert done["error"] is None
        path = tmp_path / f"{kills}.mp4"
        path.write_bytes(client.request("GET", done["video"]["url"])[2])
        results.append([frame.pixels() for frame in reader.iter_frames(reader.probe(path))])
        server.end()
    for whole, resumed in zip(*results, strict=True):
        assert np.abs(whole - resumed).mean() < 2


def test_the_stored_session_of_an_earlier_version_has_settings_of_clips(client, folder):
    session = client.session()
    path = folder / "sessions" / f"{session['id']}.json"
    stored = json.loads(path.read_text())
    del stored["clip"]
    path.write_text(json.dumps(stored))
    assert client.json("GET", f"/api/sessions/{session['id']}")["clip"]["steady"] == 1.0
