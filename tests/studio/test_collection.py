"""The collection of styles: kept for all sessions, newest first."""

import pytest

from impasto.errors import SettingError
from impasto.studio import collection
from impasto.studio.store import NotFound, Store
from tests.studio.test_store import add


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    made.prepare()
    return made


def test_images_are_collected_newest_first_and_once(store):
    first, second = add(store), add(store, "b.png", 40)
    for each in (first, second, first):
        collection.add(store, each)
    assert [each["id"] for each in collection.images(store)] == [first, second]
    # Another object on the same folder, as after a restart.
    collection.remove(Store(store.folder), first)
    assert [each["id"] for each in collection.images(Store(store.folder))] == [second]
    assert store.image(first)["id"] == first, "sessions may still use the image"


def test_a_missing_image_and_a_damaged_file_are_skipped(store):
    with pytest.raises(NotFound):
        collection.add(store, "0" * 16)
    (store.folder / "collection.json").write_text('["0123456789abcdef", 7, "../x"]')
    assert collection.image_ids(store) == ["0123456789abcdef"]
    assert collection.images(store) == []
    (store.folder / "collection.json").write_text('{"a": 1}')
    assert collection.images(store) == []
    assert store.skipped["collection.json"] == "it is not a list"


def test_the_number_of_images_is_limited(store, monkeypatch):
    monkeypatch.setattr(collection, "MAX_IMAGES", 1)
    first, second = add(store), add(store, "b.png", 40)
    collection.add(store, first)
    collection.add(store, first)
    with pytest.raises(SettingError, match="remove some first"):
        collection.add(store, second)
