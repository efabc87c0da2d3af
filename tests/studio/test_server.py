"""Jobs over HTTP: start, steer, stop, resume, branch, sweep; and rejected requests."""

import contextlib
import http.client
import io
import json
import os
import signal
import threading
import time
import zipfile

import numpy as np
import psutil
import pytest
from PIL import Image

from impasto import Recipe
from impasto.pipeline import provenance
from impasto.recipe import presets
from impasto.studio import schema
from tests.studio.client import Client, Server


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def session(client):
    return client.session()


@pytest.fixture(scope="module")
def painted(client, session):
    """The first job of the session, finished."""
    begun = client.json("POST", f"/api/sessions/{session['id']}/paint", {})
    assert begun["state"] in ("queued", "painting")
    return client.until(begun["id"], "done", "failed")


def test_the_page_receives_each_setting_once(client):
    about = client.json("GET", "/api/about")
    names = [each["name"] for each in about["settings"]]
    assert names == list(vars(Recipe()))
    assert all(each["help"] for each in about["settings"])
    assert "default" in {each["name"] for each in about["presets"]}


def test_a_result_is_served_in_every_format(client, painted, session, folder):
    assert painted["state"] == "done", painted["error"]
    assert len(painted["history"]) == 2
    for ending, kind in ((".png", "PNG"), (".jpg", "JPEG"), (".tif", "TIFF")):
        path = f"/api/works/{painted['id']}/picture{ending}"
        status, headers, data = client.request("GET", f"{path}?download")
        assert status == 200
        assert headers["content-disposition"].startswith("attachment")
        image = Image.open(io.BytesIO(data))
        assert (image.format, image.size) == (kind, (48, 32))
    there = folder / "works" / painted["id"]
    recipe = provenance.read_provenance(there / "picture.png").recipe
    assert (recipe.size, recipe.style_loss) == (48, "gram")
    assert not (there / "checkpoint").exists()


def test_a_preview_that_is_replaced_during_a_request_is_complete(client, painted, folder):
    path = folder / "works" / painted["id"] / "preview.jpg"
    before = path.read_bytes() if path.exists() else None
    done = threading.Event()

    def replace():
        for number in range(10_000_000):
            if done.is_set():
                return
            new = path.with_suffix(".new")
            new.write_bytes(b"x" * (1 + number % 50) * 1000)
            os.replace(new, path)

    path.write_bytes(b"x" * 1000)
    writer = threading.Thread(target=replace)
    writer.start()
    try:
        for _ in range(300):
            status, headers, data = client.request("GET", f"/api/works/{painted['id']}/preview.jpg")
            assert (status, len(data)) == (200, int(headers["content-length"]))
            assert not len(data) % 1000
    finally:
        done.set()
        writer.join()
        path.unlink() if before is None else path.write_bytes(before)


def test_the_command_line_gives_the_same_bytes(client, painted, folder, tmp_path):
    from tests.cli.test_app import run

    status, _, data = client.request("GET", painted["result"])
    assert status == 200
    (tmp_path / "studio.png").write_bytes(data)
    for name in ("coffee", "swirls"):
        (path,) = folder.glob(f"pictures/*/{name}.png")
        (tmp_path / path.name).write_bytes(path.read_bytes())
    done = run(
        "stylize",
        "coffee.png",
        "swirls.png",
        "--recipe",
        "studio.png",
        "-o",
        "again.png",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.png").read_bytes() == data


def test_a_version_lists_the_differences(client, session, painted):
    url = f"/api/sessions/{session['id']}"
    client.json("PATCH", url, {"recipe": {"strength": "0.8"}})
    begun = client.json("POST", f"{url}/paint", {"before": painted["id"]})
    client.json("PATCH", url, {"recipe": {"strength": "0.5"}})
    assert ["strength", "0.5", "0.8"] in begun["differs"]
    assert client.until(begun["id"], "done", "failed")["state"] == "done"


def test_a_result_is_enlarged(client, painted):
    begun = client.json("POST", f"/api/works/{painted['id']}/finish", {"size": 64})
    done = client.until(begun["id"], "done", "failed")
    assert done["state"] == "done", done["error"]
    _, _, data = client.request("GET", done["result"])
    assert Image.open(io.BytesIO(data)).size == (64, 43)
    refused = client.json("POST", f"/api/works/{painted['id']}/finish", {"size": 40}, expected=400)
    assert "larger" in refused["error"]


def test_a_sweep_starts_a_sheet_of_small_jobs(client, session):
    swept = client.json(
        "POST", f"/api/sessions/{session['id']}/sweep", {"vary": {"strength": ["0.2", "0.8"]}}
    )
    jobs = [client.until(each, "done", "failed") for each in swept["works"]]
    assert [each["recipe"]["strength"] for each in jobs] == ["0.2", "0.8"]
    assert {each["sheet"] for each in jobs} == {swept["sheet"]}
    for vary in ({}, {"strength": ["0.2"]}, {"strength": ["1"] * 17}, {"nothing": ["1", "2"]}):
        client.json("POST", f"/api/sessions/{session['id']}/sweep", {"vary": vary}, expected=400)


def test_an_uploaded_result_contains_its_recipe_and_inputs(client, painted):
    _, _, data = client.request("GET", painted["result"])
    _, _, answer = client.request("POST", "/api/pictures?name=mine.png", data)
    found = json.loads(answer)["painted"]
    assert found["recipe"]["style_loss"] == "gram"
    assert [(each["role"], bool(each["here"])) for each in found["inputs"]] == [
        ("content", True),
        ("style", True),
    ]


def test_a_protected_area_and_a_region_are_used(client, folder):
    mask = np.zeros((20, 30), np.uint8)
    mask[:, :15] = 255
    status, _, answer = client.request("POST", "/api/pictures?name=m.png&role=mask", png(mask))
    assert status == 200
    keep = json.loads(answer)["id"]
    dots = client.json("POST", "/api/samples/dots")["id"]
    region = {"mask": keep, "painting": dots, "scale": 1, "feather": 0, "frame": None}
    other = client.session()
    changes = {"keep": keep, "regions": [region]}
    client.json("PATCH", f"/api/sessions/{other['id']}", changes)
    begun = client.json("POST", f"/api/sessions/{other['id']}/paint", {})
    done = client.until(begun["id"], "done", "failed")
    assert done["state"] == "done", done["error"]
    _, _, data = client.request("GET", done["result"])
    content = Image.open(folder / "pictures" / other["photograph"]["id"] / "coffee.png")
    there, own = np.asarray(Image.open(io.BytesIO(data))), np.asarray(content.resize((48, 32)))
    far = np.abs(there.astype(float) - own).mean(axis=(0, 2))
    assert far[:20].mean() < far[28:].mean() / 2  # the left half is protected


def test_a_click_selects_similar_pixels(client, session):
    place = f"/api/sessions/{session['id']}/select"
    status, headers, data = client.request("POST", place, {"x": 0.5, "y": 0.5, "tolerance": 0.2})
    assert (status, headers["content-type"]) == (200, "image/png")
    mask = np.asarray(Image.open(io.BytesIO(data)))
    assert mask.shape == (400, 600)
    assert mask[200, 300] == 255
    assert 0 < (mask > 127).mean() < 0.9
    client.json("POST", place, {"x": 2, "y": 0.5, "tolerance": 0.2}, expected=400)


def test_a_forecast_follows_the_size(client, session, painted):
    place = f"/api/sessions/{session['id']}"
    small = client.json("POST", f"{place}/forecast")
    assert small["fits"]
    assert small["seconds"] > 0
    client.json("PATCH", place, {"recipe": {"size": "512"}})
    assert client.json("POST", f"{place}/forecast")["seconds"] > small["seconds"]
    client.json("PATCH", place, {"recipe": {"size": "48"}})


# Rejected requests -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", 415),
        ("a.png", b"not an image", 415),
        ("a.png", b"", 415),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 100, 415),
        ("a.html", b"<html><script>alert(1)</script>", 415),
    ],
)
def test_an_invalid_image_is_rejected_and_leaves_no_files(client, folder, name, data, status):
    before = sorted(folder.rglob("*"))
    found, _, answer = client.request("POST", f"/api/pictures?name={name}", data)
    assert found == status
    assert json.loads(answer)["error"].isprintable()
    assert sorted(folder.rglob("*")) == before


def test_a_name_is_never_used_as_a_path(client, folder):
    data = png(np.full((20, 20, 3), 90, np.uint8))
    for name in ("..%2F..%2Fevil.png", "%2Fetc%2Fevil.png", "..", "picture.json", "a%00b.png"):
        status, _, answer = client.request("POST", f"/api/pictures?name={name}", data)
        assert status == 200
        path = folder / "pictures" / json.loads(answer)["id"]
        assert path.is_dir()
    assert not list(folder.parent.glob("evil*"))


STYLE = {"picture": "0" * 16, "share": 1, "scale": 1}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"recipe": {"strength": "5"}}, "strength"),
        ({"recipe": {"init": "/etc/passwd"}}, "init is one of"),
        ({"recipe": {"no_such": "1"}}, "no_such"),
        ({"recipe": 7}, "recipe is 7: expected an object"),
        ({"recipe": {"strength": 5}}, "recipe.strength is 5: expected a text"),
        ({"photograph": "../../key"}, "exist"),
        ({"photograph": "0000000000000000"}, "exist"),
        ({"preset": "nothing"}, "nothing"),
        ({"paintings": "all"}, "paintings is 'all': expected a list"),
        ({"paintings": [7]}, "paintings[0] is 7: expected an object"),
        ({"paintings": [{"picture": "0" * 16}]}, "paintings[0].scale is missing"),
        ({"paintings": [{**STYLE, "picture": 5}]}, "paintings[0].picture is 5: expected a text"),
        ({"paintings": [{**STYLE, "share": "x"}]}, "paintings[0].share is 'x': expected a number"),
        ({"paintings": [{**STYLE, "share": True}]}, "paintings[0].share is True"),
        ({"paintings": [{**STYLE, "share": 10**400}]}, "expected a number"),
        ({"paintings": [{**STYLE, "scale": 99}]}, "scale of a style image is 99.0: expected 0.1"),
        ({"paintings": [STYLE]}, "exist"),
        ({"regions": [STYLE]}, "regions[0].feather is missing"),
        ({"keep_feather": float("nan")}, "expected 0 to 0.1"),
        ({"keep": "key"}, "exist"),
    ],
)
def test_an_invalid_change_of_a_session_is_rejected_with_the_reason(client, session, change, word):
    place = f"/api/sessions/{session['id']}"
    before = client.json("GET", place)
    status, _, answer = client.request("PATCH", place, change)
    assert status in (400, 404)
    assert word in json.loads(answer)["error"]
    assert client.json("GET", place) == before


@pytest.mark.parametrize("data", [b"[]", b"{", b"7", b'{"a":' * 5000, b" " * (2**20 + 1)])
def test_a_body_that_is_not_a_json_object_is_rejected(client, session, data):
    status, _, answer = client.request("PATCH", f"/api/sessions/{session['id']}", data)
    assert status == 400
    assert "error" in json.loads(answer)


def test_missing_objects_and_inputs_give_errors(client, session):
    for method, path in (
        ("GET", "/api/sessions/00000000"),
        ("GET", "/api/works/00000000"),
        ("POST", "/api/works/00000000/finish"),
        ("POST", "/api/samples/nothing"),
        ("DELETE", "/api/works/00000000"),
        ("GET", "/api/nothing"),
    ):
        client.json(method, path, {} if method != "GET" else None, expected=404)
    empty = client.json("POST", "/api/sessions")
    refused = client.json("POST", f"/api/sessions/{empty['id']}/paint", {}, expected=400)
    assert "no content image" in refused["error"]


# Running jobs ----------------------------------------------------------------------------------


LONG = {"evaluations": "5000", "size": "64"}


def test_a_running_job_is_steered_stopped_and_resumed(client):
    session = client.session(**LONG)
    begun = client.json("POST", f"/api/sessions/{session['id']}/paint", {})
    number = begun["id"]
    until_steps(client, number)
    waiting = client.json("POST", f"/api/sessions/{session['id']}/paint", {})
    assert client.json("GET", "/api/state")["queue"][1]["id"] == waiting["id"]
    client.json("DELETE", f"/api/works/{waiting['id']}")
    client.json("DELETE", f"/api/works/{number}", expected=400)
    client.json("POST", f"/api/works/{number}/steer", {"settings": {"strength": "0.9"}})
    client.json("POST", f"/api/works/{number}/steer", {"settings": {"strength": "9"}}, expected=400)
    before = until_steps(client, number)["progress"]["evaluation"]
    while until_steps(client, number)["progress"]["evaluation"] < before + 3:
        time.sleep(0.05)
    client.json("POST", f"/api/works/{number}/stop")
    stopped = client.until(number, "stopped", "failed")
    assert stopped["state"] == "stopped", stopped["error"]
    assert stopped["resumable"]
    assert stopped["steered"]
    assert stopped["recipe"]["strength"] == "0.9"
    assert client.request("GET", stopped["result"])[0] == 200
    client.json("POST", f"/api/works/{number}/resume")
    again = until_steps(client, number)
    assert again["progress"]["evaluation"] > 1
    client.json("POST", f"/api/works/{number}/stop")
    client.until(number, "stopped")
    client.json("DELETE", f"/api/works/{number}")
    client.json("GET", f"/api/works/{number}", expected=404)


def until_steps(client, number, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job = client.json("GET", f"/api/works/{number}")
        if job["progress"]:
            return job
        time.sleep(0.05)
    raise AssertionError(job)


def test_events_report_every_step(client, session):
    lines = []

    def listen():
        connection = http.client.HTTPConnection(client.host, timeout=60)
        connection.request("GET", "/api/events", headers={"Cookie": client.cookie})
        answer = connection.getresponse()
        for line in answer:
            lines.append(line.decode().strip())
            if '"state": "done"' in lines[-1]:
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    while not lines:
        time.sleep(0.05)
    begun = client.json("POST", f"/api/sessions/{session['id']}/paint", {})
    client.until(begun["id"], "done")
    thread.join(20)
    kinds = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert kinds[0] == "hello"
    for kind in ("state", "draft", "step", "work"):
        assert kind in kinds
    assert kinds.index("draft") < kinds.index("step")


def test_queue_sheets_and_style_images_have_limits(client):
    session = client.session(**LONG)
    place = f"/api/sessions/{session['id']}"
    values = [str(each / 100) for each in range(1, 18)]
    status, _, answer = client.request("POST", f"{place}/sweep", {"vary": {"strength": values}})
    assert status == 400, answer
    first = client.json("POST", f"{place}/paint", {})["id"]
    for _ in range(3):
        client.json("POST", f"{place}/sweep", {"vary": {"strength": values[:16]}})
    statuses = [client.request("POST", f"{place}/paint", {})[0] for _ in range(17)]
    assert statuses.index(400) in (15, 16)
    style = session["paintings"][0]["picture"]["id"]
    status, _, answer = client.request(
        "PATCH", place, {"paintings": [{**STYLE, "picture": style}] * 9}
    )
    assert (status, b"expected 0 to 8" in answer) == (400, True)
    for each in client.json("GET", place)["works"]:
        if each["id"] != first:
            client.json("DELETE", f"/api/works/{each['id']}")
    client.json("POST", f"/api/works/{first}/stop")
    client.until(first, "stopped", "done")


def test_the_number_of_event_streams_is_limited(client):
    with contextlib.ExitStack() as stack:
        statuses = []
        for _ in range(17):
            connection = http.client.HTTPConnection(client.host, timeout=60)
            stack.callback(connection.close)
            connection.request("GET", "/api/events", headers={"Cookie": client.cookie})
            statuses.append(connection.getresponse().status)
    assert statuses == [200] * 16 + [404]


@pytest.mark.slow
def test_a_killed_worker_resumes_from_the_checkpoint(client, server, folder):
    session = client.session(**LONG)
    number = client.json("POST", f"/api/sessions/{session['id']}/paint", {})["id"]
    until_steps(client, number)
    (worker,) = [
        each
        for each in psutil.Process(server.process.pid).children()
        if "impasto.studio.worker" in " ".join(each.cmdline())
    ]
    worker.kill()
    end = time.monotonic() + 60
    while client.json("GET", "/api/state")["worker"] == "painting" and time.monotonic() < end:
        time.sleep(0.05)
    until_steps(client, number)
    client.json("POST", f"/api/works/{number}/stop")
    assert client.until(number, "stopped", "failed")["state"] == "stopped"


@pytest.mark.slow
def test_a_killed_server_loses_no_data(tmp_path):
    first = Server(tmp_path)
    client = first.client()
    session = client.session(**LONG)
    number = client.json("POST", f"/api/sessions/{session['id']}/paint", {})["id"]
    until_steps(client, number)
    time.sleep(1)
    first.end(signal.SIGKILL)
    second = Server(tmp_path)
    again = second.client()
    again.cookie = again.cookie or client.cookie
    job = until_steps(again, number)
    assert job["state"] == "painting"
    assert again.json("GET", f"/api/sessions/{session['id']}")["photograph"]["name"] == "coffee.png"
    again.json("POST", f"/api/works/{number}/stop")
    again.until(number, "stopped")
    assert second.end(signal.SIGINT) == 0
    assert not (tmp_path / "server.json").exists()


def test_an_invalid_folder_gives_one_line(tmp_path):
    from tests.cli.test_app import run

    (tmp_path / "file").write_text("")
    done = run("studio", "file/studio", "--no-browser", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("impasto: ")
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["file"]


def test_each_built_in_preset_has_a_thumbnail(client):
    known = client.json("GET", "/api/about")["presets"]
    levels_of_detail = set(schema.DETAILS) - {presets.DEFAULT}
    assert {each["name"] for each in known} >= set(presets.PRESETS) - levels_of_detail
    for each in known:
        if each["picture"] is not None:
            _, _, data = client.request("GET", f"/{each['picture']}")
            width, height = Image.open(io.BytesIO(data)).size
            assert width == height >= 96


def test_another_device_gets_access_once_and_only_if_it_can_reach_the_studio(client, tmp_path):
    assert not client.json("GET", "/api/about")["shares"]
    assert "--host" in client.json("POST", "/api/share", {}, expected=400)["error"]
    server = Server(tmp_path / "shared", "--port", "0", "--name", "studio.test")
    try:
        first = server.client()
        assert first.json("GET", "/api/about")["shares"]
        shared = first.json("POST", "/api/share", {})
        address, _, token = shared["address"].partition("/?token=")
        assert address == "http://studio.test"
        assert shared["code"].startswith("<svg xmlns=")
        other = Client(f"http://127.0.0.1:{server.port}/")
        assert other.request("GET", "/api/state")[0] == 403
        assert other.log_in(token)[0] == 303
        assert other.json("GET", "/api/state")["sessions"] == []
        third = Client(f"http://127.0.0.1:{server.port}/")
        assert third.log_in(token)[0] == 403
        # Without access, nobody gets a token.
        assert third.request("POST", "/api/share", {})[0] == 403
    finally:
        server.end()


def test_styles_are_collected_for_all_sessions(client, session):
    style = session["paintings"][0]["picture"]["id"]
    client.json("POST", "/api/collection", {"picture": style})
    collected = client.json("GET", "/api/state")["collection"]
    assert [each["id"] for each in collected] == [style]
    client.json("POST", "/api/collection", {"picture": "0" * 16}, expected=404)
    client.json("DELETE", f"/api/collection/{style}")
    assert client.json("GET", "/api/state")["collection"] == []


def test_a_version_has_a_name_and_a_star_and_its_downloads_follow(client, painted):
    path = f"/api/works/{painted['id']}"
    assert painted["stem"] == "coffee-swirls-48"
    changed = client.json("PATCH", path, {"name": "Morning", "starred": True})
    assert (changed["name"], changed["starred"], changed["stem"]) == ("Morning", True, "Morning")
    _, headers, _ = client.request("GET", f"{path}/picture.png?download")
    assert 'filename="Morning.png"' in headers["content-disposition"]
    client.json("PATCH", path, {"name": "x" * 81}, expected=400)
    client.json("PATCH", path, {"name": "", "starred": False})


def test_results_are_downloaded_as_an_archive_and_a_run_as_a_film(client, painted, folder):
    status, headers, data = client.request("GET", f"/api/results.zip?works={painted['id']}")
    assert (status, headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["coffee-swirls-48.png"]
    deadline = time.monotonic() + 10  # the server removes the archive after it is sent
    while list((folder / "incoming").iterdir()):
        assert time.monotonic() < deadline, "the archive is removed after it is sent"
        time.sleep(0.02)
    assert client.request("GET", "/api/results.zip?works=")[0] == 400
    assert client.request("GET", "/api/results.zip?works=../x")[0] == 404
    status, headers, data = client.request("GET", f"/api/works/{painted['id']}/film.mp4")
    assert (status, headers["content-type"]) == (200, "video/mp4")
    assert data[4:8] == b"ftyp"


def test_a_new_content_image_keeps_the_masks(client):
    session = client.session()
    mask = client.upload(png(np.full((20, 30), 255, np.uint8)), "mask.png", "mask")
    path = f"/api/sessions/{session['id']}"
    client.json("PATCH", path, {"keep": mask["id"]})
    other = client.upload(png(np.full((40, 30, 3), 90, np.uint8)), "other.png")
    changed = client.json("PATCH", path, {"photograph": other["id"]})
    assert changed["keep"]["id"] == mask["id"]
    assert changed["photograph"]["id"] == other["id"]


def test_the_forecast_has_the_pixels_of_every_size(client, session):
    found = client.json("POST", f"/api/sessions/{session['id']}/forecast", {})
    sizes = {each["value"]: (each["width"], each["height"]) for each in found["sizes"]}
    assert sizes == {
        "512": (512, 341),
        "1024": (1024, 683),
        "2048": (2048, 1365),
        "original": (600, 400),
        "3508": (3508, 2339),
        "4961": (4961, 3307),
    }
    assert all(each["memory"].endswith(" GB") for each in found["sizes"] if each["fits"])


def test_samples_have_thumbnails(client):
    for name in ("mosaic", "cat"):
        status, headers, data = client.request("GET", f"/api/samples/{name}/thumb.jpg")
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        assert max(Image.open(io.BytesIO(data)).size) == 320
    assert client.request("GET", "/api/samples/unknown/thumb.jpg")[0] == 404


def test_a_sheet_of_crops_paints_a_part_at_the_final_scale(client):
    session = client.session(size="600")
    swept = client.json(
        "POST",
        f"/api/sessions/{session['id']}/sweep",
        {"vary": {"strength": ["0.2", "0.9"]}, "crop": {"x": 0.2, "y": 0.2}},
    )
    jobs = [client.until(each, "done", "failed") for each in swept["works"]]
    assert [each["error"] for each in jobs] == [None, None]
    assert [each["recipe"]["size"] for each in jobs] == ["256", "256"]
    assert {each["content"]["name"] for each in jobs} == {"coffee crop.png"}
    assert len({each["sheet"] for each in jobs}) == 1
