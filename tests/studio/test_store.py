"""A damaged file in the studio's folder is skipped and listed, and everything else works."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from impasto import Recipe, files
from impasto.errors import ImageError, SettingError
from impasto.images.formats import encode
from impasto.studio import forecasts, schema, sessions, versions
from impasto.studio.queue import JobQueue
from impasto.studio.store import MAX_NAME_BYTES, NotFound, Store, safe_name
from impasto.studio.supervisor import Supervisor
from tests.studio.test_serve import served


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "studio")
    made.prepare()
    return made


def add(store, name="a.png", color=90, mask=False, size=(40, 30)):
    path = store.folder / "upload"
    Image.new("RGB", size, (color,) * 3).save(path, "PNG")
    return store.add_image(path, name, mask)["id"]


def begun(store):
    """Return a session with a content image and a style image, and a job of it."""
    session = store.new_session(vars(Recipe()))
    content, style = add(store), add(store, "b.png", 40)
    changes = {"photograph": content, "paintings": [{"picture": style, "share": 1.0, "scale": 1.0}]}
    session = sessions.update_session(store, session, changes)
    store.save_session(session)
    return session, versions.create_job(store, session)


def supervisor_of(store):
    return Supervisor(JobQueue(store), versions.paint_command)


BAD = {
    "empty": b"",
    "not JSON": b"\x00\x05\x16\x07 Mac",
    "not an object": b"[1, 2]",
    "of another kind": b"{}",
    "nested too deep": b"[" * 100_000,
    "cut off": b'{"id": "',
    "not UTF-8": b'{"id": "\xff"}',
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_damaged_description_is_skipped_and_listed(store, data):
    session, job = begun(store)
    other, other_job = begun(store)
    (store.folder / "sessions" / f"{other['id']}.json").write_bytes(data)
    (store.job_folder(other_job["id"]) / "work.json").write_bytes(data)
    (store.folder / "queue.json").write_bytes(b"{" + data)
    assert [each["id"] for each in store.sessions()] == [session["id"]]
    assert [each["id"] for each in store.jobs()] == [job["id"]]
    assert JobQueue(store).job_ids() == []
    assert set(store.skipped) == {
        f"sessions/{other['id']}.json",
        f"works/{other_job['id']}/work.json",
        "queue.json",
    }
    assert all(reason.isprintable() and reason for reason in store.skipped.values())
    with pytest.raises(NotFound, match="session cannot be read"):
        store.session(other["id"])


def test_foreign_files_are_skipped(store):
    session, job = begun(store)
    own = store.folder / "sessions" / f"{session['id']}.json"
    shutil.copy(own, own.with_name(f"{session['id']} (1).json"))  # of a sync program
    own.with_name(f"._{session['id']}.json").write_bytes(b"\x00\x05\x16\x07")  # of a Mac
    own.with_name("0123abcd.json").write_text(own.read_text())  # a copy by hand
    own.with_name("89abcdef.json").mkdir()
    copied = store.folder / "works" / f"{job['id']} copy"
    shutil.copytree(store.job_folder(job["id"]), copied)
    assert [each["id"] for each in store.sessions()] == [session["id"]]
    assert [each["id"] for each in store.jobs()] == [job["id"]]
    assert len(store.skipped) == 5
    for path in store.folder.glob("sessions/0123abcd.json"):
        path.unlink()
    with pytest.raises(NotFound):
        store.session("0123abcd")
    assert "sessions/0123abcd.json" not in store.skipped


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("created", "now"),
        ("recipe", {"no_such": 1}),
        ("recipe", None),
        ("paintings", [{"picture": 5}]),
        ("regions", {}),
        ("photograph", 7),
        ("id", None),
    ],
)
def test_an_invalid_field_is_named(store, name, value):
    session, _ = begun(store)
    path = store.folder / "sessions" / f"{session['id']}.json"
    path.write_text(json.dumps({**session, name: value}))
    assert store.sessions() == []
    (reason,) = store.skipped.values()
    assert name in reason or "no_such" in reason


def test_descriptions_of_earlier_versions_are_read(store):
    """Their masks include the feather."""
    session, job = begun(store)
    mask = add(store, "m.png", 255, mask=True)
    region = {"mask": mask, "painting": session["paintings"][0]["picture"], "scale": 1.0}
    for path, found in (
        (store.folder / "sessions" / f"{session['id']}.json", session),
        (store.job_folder(job["id"]) / "work.json", job),
    ):
        old = {**found, "keep": mask, "regions": [region], "precision": "float32"}
        del old["keep_feather"]
        del old["keep_frame"]
        path.write_text(json.dumps(old))
    region = store.session(session["id"])["regions"][0]
    assert (region["feather"], region["frame"]) == (0, None)
    assert versions.paint_command(store, store.job(job["id"]))["keep"]["feather"] == 0


def test_a_missing_image_is_removed_from_its_session(store):
    session, job = begun(store)
    shutil.rmtree(store.folder / "pictures" / session["photograph"])
    found = sessions.serialize_session(store, supervisor_of(store), session["id"])
    assert found["photograph"] is None
    assert found["missing"] == ["the content image"]
    assert len(found["paintings"]) == 1
    assert forecasts.forecast(store, session)["seconds"] is None
    with pytest.raises(NotFound):
        versions.paint_command(store, job)
    store.image_path(session["paintings"][0]["picture"]).unlink()
    found = sessions.serialize_session(store, supervisor_of(store), session["id"])
    assert (found["paintings"], len(found["missing"])) == ([], 2)


@pytest.mark.parametrize("gone", ["picture.json", "a.png", "shown.jpg", "thumb.jpg"])
@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_an_image_with_a_missing_file_is_added_again(store, gone, how):
    number = add(store)
    path = store.folder / "pictures" / number / gone
    path.unlink() if how == "removed" else path.write_bytes(b"")
    if how == "emptied" and gone != "picture.json":
        return  # a damaged image is rejected when its job starts
    assert add(store) == number
    assert store.image_path(number).is_file()
    assert store.derived_image_path(number, "shown.jpg").stat().st_size
    assert store.derived_image_path(number, "thumb.jpg").stat().st_size


def test_the_description_is_written_last_so_incomplete_images_do_not_exist(store, monkeypatch):
    order = []
    write, replace = encode.write_image, type(store.folder).replace
    monkeypatch.setattr(
        encode,
        "write_image",
        lambda pixels, path, **more: (order.append(path.name), write(pixels, path)),
    )
    monkeypatch.setattr(
        type(store.folder),
        "replace",
        lambda self, target: (order.append(target.name), replace(self, target)),
    )
    number = add(store)
    assert order == ["shown.jpg", "thumb.jpg", "a.png"]
    place = store.folder / "pictures" / number
    shutil.rmtree(place)

    def full(*_):
        raise ImageError("no space left on device")

    monkeypatch.setattr(files, "write_text", full)
    with pytest.raises(ImageError):
        add(store)
    assert not place.exists()
    monkeypatch.undo()
    assert add(store) == number


@pytest.mark.parametrize(
    "name",
    [
        "\u6c34" * 92 + ".jpg",
        "\U0001f3a8" * 300 + ".png",
        "a" * 1000,
        "e\u0301" * 200 + ".tiff",
        "\u6c34.jpg" * 100,
    ],
)
def test_long_names_are_shortened_and_keep_their_extension(store, name):
    cut = safe_name(name)
    assert len(cut.encode()) <= MAX_NAME_BYTES
    assert cut.endswith(name.rpartition(".")[2][-4:])
    number = add(store, name)
    assert store.image(number)["name"] == cut
    assert store.image_path(number).read_bytes().startswith(b"\x89PNG")


def test_a_mask_is_displayed_unchanged(store):
    """Editing a mask does not resample or compress it."""
    random = np.random.default_rng(0).integers(0, 256, (20, 2500), np.uint8)
    path = store.folder / "upload"
    for mask in (False, True):  # an image that was added as an input before
        Image.fromarray(random).save(path, "PNG")
        number = store.add_image(path, "m.png", mask)["id"]
    shown = Image.open(store.derived_image_path(number, "shown.png"))
    assert np.array_equal(np.asarray(shown.convert("L")), random)


def test_a_preset_does_not_change_the_size(store):
    session, _ = begun(store)
    for size in ("300", "original"):
        session = sessions.update_session(store, session, {"recipe": {"size": size}})
        chosen = sessions.update_session(store, session, {"preset": "gatys"})
        assert chosen["recipe"]["size"] == session["recipe"]["size"]
        assert chosen["recipe"]["style_loss"] != session["recipe"]["style_loss"]


def test_the_forecast_uses_the_stored_measurement(store, monkeypatch, tmp_path):
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    session, _ = begun(store)
    assert forecasts.forecast(store, session)["seconds"] is None
    calls = []

    def find(recipe, places, kinds):
        calls.append((recipe.size, places))
        return "this machine"

    monkeypatch.setattr(forecasts.measurements, "find_measurement", find)
    monkeypatch.setattr(
        forecasts, "predict_seconds", lambda recipe, measured, levels, *_: [7.0] * len(levels)
    )
    found = forecasts.forecast(store, session)
    assert found["seconds"] % 7 == 0
    assert f"about {found['seconds']:.0f} s" in found["text"]
    assert calls[0] == (512, 1)
    assert [size for size, _ in calls[1:]] == [512, 1024, 2048, 40, 3508, 4961]


def test_with_a_damaged_preset_file_the_built_in_presets_remain(store, monkeypatch):
    def damaged():
        raise SettingError("presets.toml is not valid TOML: line 1")

    monkeypatch.setattr(schema.presets, "available_presets", damaged)
    about = schema.static_info()
    assert about["notes"] == ["presets.toml is not valid TOML: line 1"]
    assert "bold" in {each["name"] for each in about["presets"]}
    session, _ = begun(store)
    assert sessions.update_session(store, session, {"preset": "bold"})["preset"] == "bold"


def test_the_next_server_removes_uploads_of_a_killed_one(monkeypatch, tmp_path):
    store = Store(tmp_path / "studio")
    store.prepare()
    (store.incoming / "tmp1234").write_bytes(b"half an upload")
    served(monkeypatch, tmp_path)
    assert not list(store.incoming.iterdir())
