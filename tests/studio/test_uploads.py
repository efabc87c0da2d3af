"""An upload is decoded in a separate process."""

import asyncio
import io
import json
import sys

import numpy as np
import psutil
import pytest
from PIL import Image

from impasto.errors import ImageError
from impasto.studio import uploads
from impasto.studio.store import Store
from impasto.studio.uploads import Uploads
from tests.studio.images import write_photo


def test_an_image_larger_than_its_display_is_added(client):
    """The pixels of an image of more than 2,048 px are in a file while it is resized."""
    out = io.BytesIO()
    random = np.random.default_rng(0).integers(0, 256, (14, 22, 3), np.uint8)
    Image.fromarray(random).resize((2200, 1400)).save(out, "JPEG")
    status, _, answer = client.request("POST", "/api/pictures?name=large.jpg", out.getvalue())
    assert status == 200, answer
    image = json.loads(answer)
    assert (image["width"], image["height"]) == (2200, 1400)
    for url, width in ((image["url"], 2048), (image["thumb"], 320)):
        _, _, data = client.request("GET", url)
        assert Image.open(io.BytesIO(data)).width == width


def added(tmp_path, name="a.png"):
    store = Store(tmp_path / "studio")
    store.prepare()
    path = store.folder / "upload"
    path.write_bytes(b"not an image")
    return asyncio.run(Uploads(store).add(path, name))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.kill(os.getpid(), 9)", "memory ran out"),
        ("raise SystemExit(3)", "another format"),
        ("print('{}' if 0 else '{\"error\": \"a.png: damaged\"}')", "a.png: damaged"),
    ],
)
def test_a_crashed_decoder_gives_an_error(monkeypatch, tmp_path, code, words, one_line):
    monkeypatch.setattr(uploads, "COMMAND", (sys.executable, "-S", "-E", "-c", code))
    with pytest.raises(ImageError) as caught:
        added(tmp_path)
    assert words in one_line(caught)
    assert "a.png" in str(caught.value)


def test_an_error_names_the_uploaded_file(tmp_path, one_line):
    with pytest.raises(ImageError) as caught:
        added(tmp_path, "letter\n.jpg")
    assert one_line(caught).startswith("'letter\\n.jpg'")


@pytest.mark.slow
def test_memory_is_freed_after_a_large_upload(client, server, tmp_path):
    path = tmp_path / "large.jpg"
    write_photo(108, path)
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    status, _, answer = client.request("POST", "/api/pictures?name=large.jpg", path.read_bytes())
    assert status == 200, answer
    assert json.loads(answer)["width"] == 12_000
    assert process.memory_info().rss - before < 100e6
    children = [each for each in process.children() if "uploads" in " ".join(each.cmdline())]
    assert not children
