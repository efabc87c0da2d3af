"""Weight files of every format: what is read, and that no file does more than be read."""

import os
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from safetensors.numpy import save_file

from impasto.errors import WeightsError
from impasto.network import weight_files, weights

from .test_weights import SMALL, assert_equal, tensors_of

LAYERS = SMALL.convolutions
EXPECTED = tensors_of(SMALL)


# Files as other programs write them ----------------------------------------------------------


def in_torch_layout(name):
    array = EXPECTED[name]
    return np.ascontiguousarray(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array)


def write_safetensors(path):
    save_file(EXPECTED, path)


def write_onnx(path):
    initializers = [
        numpy_helper.from_array(in_torch_layout(name), f"vgg/{name.replace('/', '_1/')}/Read")
        for name in EXPECTED
    ]
    onnx.save(helper.make_model(helper.make_graph([], "vgg", [], [], initializers)), path)


def write_torch(path, **others):
    torch = pytest.importorskip("torch")
    state = {}
    for place, layer in zip((0, 2), LAYERS, strict=True):
        for part, ours in (("weight", "kernel"), ("bias", "bias")):
            array = torch.from_numpy(in_torch_layout(f"{layer}/{ours}"))
            state[f"features.{place}.{part}"] = array
    torch.save({**state, **others}, path)


def write_keras_1(path):
    """The layout of the files that Keras still downloads for VGG."""
    with h5py.File(path, "w") as file:
        for layer in LAYERS:
            file[f"{layer}/{layer}_W_1:0"] = EXPECTED[f"{layer}/kernel"]
            file[f"{layer}/{layer}_b_1:0"] = EXPECTED[f"{layer}/bias"]
        file["predictions/predictions_W_1:0"] = np.zeros((4, 4), np.float32)


def write_keras_2(path):
    with h5py.File(path, "w") as file:
        for layer in LAYERS:
            file[f"model_weights/{layer}/vgg16/{layer}/kernel:0"] = EXPECTED[f"{layer}/kernel"]
            file[f"model_weights/{layer}/vgg16/{layer}/bias:0"] = EXPECTED[f"{layer}/bias"]
            file[f"optimizer_weights/Adam/{layer}/m:0"] = EXPECTED[f"{layer}/kernel"]


def write_keras_3(path, named=True):
    with h5py.File(path, "w") as file:
        for number, layer in enumerate(LAYERS):
            group = file.create_group(f"layers/conv2d{f'_{number}' if number else ''}/vars")
            if named:
                group.attrs["name"] = layer
            group["0"], group["1"] = EXPECTED[f"{layer}/kernel"], EXPECTED[f"{layer}/bias"]


def write_keras_3_packed(path):
    with h5py.File(path, "w") as file:
        for name, array in EXPECTED.items():
            file.create_dataset(name, data=array, compression="gzip", shuffle=True)


FORMATS = {
    "safetensors": (write_safetensors, ".safetensors"),
    "ONNX": (write_onnx, ".onnx"),
    "PyTorch": (write_torch, ".pth"),
    "Keras 1": (write_keras_1, ".h5"),
    "Keras 2": (write_keras_2, ".h5"),
    "Keras 3": (write_keras_3, ".weights.h5"),
    "HDF5, packed": (write_keras_3_packed, ".h5"),
}


@pytest.mark.parametrize(("write", "ending"), FORMATS.values(), ids=FORMATS)
def test_the_tensors_of_every_format(tmp_path, write, ending):
    write(tmp_path / f"w{ending}")
    assert_equal(weight_files.read_weights(tmp_path / f"w{ending}", LAYERS), EXPECTED)


def test_every_ending_has_a_format_that_is_tested():
    assert set(weight_files.READERS) == {Path("w" + each).suffix for _, each in FORMATS.values()}


def test_a_quantized_file_gives_the_values_that_its_numbers_stand_for(tmp_path):
    torch = pytest.importorskip("torch")
    random, state, expected = np.random.default_rng(3), {}, {}
    for layer, tensor in EXPECTED.items():
        name, part = layer.split("/")
        if part == "bias":
            state[f"{name}_b"] = torch.from_numpy(tensor)
            expected[layer] = tensor
        else:
            table = random.normal(size=256).astype(np.float32)
            numbers = random.integers(0, 256, tensor.transpose(3, 2, 0, 1).shape).astype(np.uint8)
            state[f"{name}_W_table"], state[f"{name}_W_q"] = map(torch.from_numpy, (table, numbers))
            expected[layer] = table[numbers].transpose(2, 3, 1, 0)
    torch.save(state, tmp_path / "quantized.bin")
    assert_equal(weight_files.read_quantized(tmp_path / "quantized.bin", LAYERS), expected)


# Broken files --------------------------------------------------------------------------------


@pytest.fixture
def refused(tmp_path, monkeypatch, one_line):
    """Load a file of this name that must be refused in one line, and return the line."""
    monkeypatch.setitem(weights.NETWORKS, "small", SMALL)

    def load(name):
        with pytest.raises(WeightsError) as caught:
            weights.load_weights("small", tmp_path / name)
        return one_line(caught)

    return load


def mutated(whole: bytes, random: np.random.Generator) -> bytes:
    """Cut off, change a few bytes, fill a stretch with one value, or replace everything."""
    data = bytearray(whole)
    kind = random.integers(4)
    if kind == 0:
        return bytes(data[: random.integers(len(data))])
    if kind == 1:
        # Most of what makes a format lies at its ends.
        for place in random.integers(min(len(data), 600), size=random.integers(1, 9)):
            data[random.choice([place, -place - 1])] = random.integers(256)
    if kind == 2:
        start = random.integers(len(data))
        data[start : start + random.integers(1, 40)] = bytes([random.integers(256)]) * 8
    return bytes(data) if kind < 3 else random.bytes(int(random.integers(1, 300)))


@pytest.mark.parametrize(("write", "ending"), FORMATS.values(), ids=FORMATS)
def test_a_broken_file_is_refused_in_one_line_or_is_whole(tmp_path, monkeypatch, write, ending):
    monkeypatch.setitem(weights.NETWORKS, "small", SMALL)
    random, path = np.random.default_rng(11), tmp_path / f"w{ending}"
    write(path)
    whole = path.read_bytes()
    refusals = []
    for _ in range(300):
        path.write_bytes(mutated(whole, random))
        try:
            with warnings.catch_warnings(action="ignore"):
                assert_equal(weights.load_weights("small", path).tensors, EXPECTED)
        except WeightsError as error:
            refusals.append(str(error))
    assert all(each.isprintable() for each in refusals)
    assert len(refusals) > 100


@pytest.mark.parametrize("ending", weight_files.READERS)
def test_a_file_that_is_too_large_is_not_read(tmp_path, refused, ending):
    with (tmp_path / f"w{ending}").open("wb") as file:
        file.truncate(weight_files.MAX_FILE_BYTES + 1)
    assert "the maximum is 1.0 GB" in refused(f"w{ending}")


# Files that want more than to be read --------------------------------------------------------


def test_nothing_that_a_torch_file_holds_is_called(tmp_path, refused):
    class Call:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'called'}",)

    write_torch(tmp_path / "w.pth", epoch=Call())
    assert "contains other objects than tensors" in refused("w.pth")
    assert not (tmp_path / "called").exists()


def test_numbers_and_words_beside_the_tensors_of_a_torch_file_are_left_out(tmp_path):
    write_torch(tmp_path / "w.pth", epoch=3, name="vgg", sizes=[1, 2])
    assert_equal(weight_files.read_weights(tmp_path / "w.pth", LAYERS), EXPECTED)


def test_a_torch_file_of_something_else_is_refused(tmp_path, refused):
    torch = pytest.importorskip("torch")
    torch.save({"features.0.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "a.pth")
    assert "has no tensor features.0.bias" in refused("a.pth")
    torch.save([torch.zeros(4, 3, 3, 3)], tmp_path / "b.pth")
    assert "does not contain a state dict but list" in refused("b.pth")
    endless = torch.zeros(1, 1, 1, 1).expand(10**6, 10**6, 10, 10)
    torch.save({"0.weight": endless, "0.bias": torch.zeros(4)}, tmp_path / "c.pth")
    assert "100000000000000 values" in refused("c.pth")


def test_an_onnx_file_whose_numbers_lie_in_another_is_refused(tmp_path, refused):
    write_onnx(tmp_path / "whole.onnx")
    model = onnx.load(tmp_path / "whole.onnx")
    where = {"all_tensors_to_one_file": True, "location": "secret", "size_threshold": 0}
    onnx.save(model, tmp_path / "w.onnx", save_as_external_data=True, **where)
    assert (tmp_path / "secret").is_file()
    assert "is stored in another file" in refused("w.onnx")


def write_virtual(file):
    layout = h5py.VirtualLayout((3, 3, 3, 4), np.float32)
    layout[...] = h5py.VirtualSource(Path(file.filename).parent / "other.h5", "a", (3, 3, 3, 4))
    file.create_virtual_dataset("block1_conv1/kernel", layout)


def write_far_away(file):
    outside = [(str(Path(file.filename).parent / "other.h5"), 0, 432)]
    file.create_dataset("block1_conv1/kernel", (3, 3, 3, 4), np.float32, external=outside)


def write_link_to_a_file(file):
    file["block1_conv1"] = h5py.ExternalLink(Path(file.filename).parent / "other.h5", "a")


def write_link_to_all_in_a_file(file):
    file["model_weights"] = h5py.ExternalLink(Path(file.filename).parent / "other.h5", "a")


def write_link_within(file):
    file["model_weights"] = h5py.SoftLink("/elsewhere")


def write_endless(file):
    file.create_dataset(
        "block1_conv1/kernel", (3, 3, 10**6, 10**6), np.float32, chunks=(3, 3, 9, 9)
    )


def write_huge_chunk(file):
    file.create_dataset(
        "block1_conv1/kernel", (3, 3, 3, 4), np.float32, maxshape=(None,) * 4, chunks=(99,) * 4
    )


def write_foreign_filter(file):
    file.create_dataset(
        "block1_conv1/kernel", data=EXPECTED["block1_conv1/kernel"], compression="lzf"
    )


def write_circle(file):
    file.create_group("a")["a"] = file["/"]


def write_twice(file):
    for name in ("a", "b"):
        file[f"block1_conv1/{name}"] = EXPECTED["block1_conv1/bias"]


def write_words(file):
    file["block1_conv1/bias"] = ["one", "two"]


HDF5 = {
    write_virtual: "is stored in another file",
    write_far_away: "is stored in another file",
    write_link_to_a_file: "is a link, possibly to another file",
    write_link_to_all_in_a_file: "is a link, possibly to another file",
    write_link_within: "is a link, possibly to another file",
    write_endless: "has no layers named",
    write_huge_chunk: "is not compressed by deflate",
    write_foreign_filter: "is not compressed by deflate",
    write_circle: "has too many groups for a weight file",
    write_twice: "has more than one tensor block1_conv1/bias",
    write_words: "block1_conv1/bias has 2 values of type object",
}


@pytest.mark.parametrize(
    ("write", "words"), HDF5.items(), ids=lambda each: getattr(each, "__name__", "")
)
def test_a_file_of_hdf5_names_no_other_and_hides_no_size(tmp_path, refused, write, words):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["a"] = EXPECTED["block1_conv1/kernel"]
    os.utime(tmp_path / "other.h5", (0, 10**9))  # the time of the last look, which the next sets
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write(file)
    assert words in refused("w.h5")
    assert (tmp_path / "other.h5").stat().st_atime == 0


def test_a_file_of_hdf5_without_the_names_of_layers_is_refused(tmp_path, refused):
    write_keras_3(tmp_path / "w.h5", named=False)
    assert "has no layers named as in Keras Applications" in refused("w.h5")


def test_an_archive_says_how_large_it_is_unpacked(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(weight_files, "MAX_FILE_BYTES", 10_000)
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_001))
    assert (tmp_path / "w.pth").stat().st_size < 1000
    assert "unpacked" in refused("w.pth")


def test_an_archive_packed_by_another_method_is_refused(tmp_path, refused):
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("archive/data.pkl", bytes(1000))
    assert "not compressed by deflate" in refused("w.pth")
