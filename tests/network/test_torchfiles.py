"""PyTorch's files without PyTorch: the numbers that PyTorch itself wrote, and nothing else."""

import io
import pickle
import struct
import sys
import zipfile

import numpy as np
import pytest

from impasto.network import torchfiles

MOST = 10**6
GENERATOR = np.random.default_rng(5)
EXPECTED = {
    "kernel": GENERATOR.normal(size=(4, 3, 2, 2)).astype(np.float32),
    "half": GENERATOR.normal(size=7).astype(np.float16),
    "table": GENERATOR.integers(0, 256, (2, 5)).astype(np.uint8),
    "count": np.array(3, np.int64),
    "none": np.zeros((0, 4), np.float64),
}


class Named:
    """Pickled as PyTorch pickles a global, by module and name alone."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Storage:
    def __init__(self, *said):
        self.said = said


class Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class Writer(pickle._Pickler):
    """Writes what PyTorch writes, without it."""

    def persistent_id(self, value):
        return value.said if isinstance(value, Storage) else None

    def save(self, value, *rest, **others):
        if isinstance(value, Named):
            self.write(f"c{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Call):
            self.save(value.function)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, *rest, **others)


def pickled(value):
    stream = io.BytesIO()
    Writer(stream, protocol=2).dump(value)
    return stream.getvalue()


def tensor(key, sizes, strides, offset=0, kind="FloatStorage", count=24, view=None):
    storage = Storage("storage", Named("torch", kind), key, "cpu", count, view)
    rebuild = Named("torch._utils", "_rebuild_tensor_v2")
    return Call(rebuild, storage, offset, sizes, strides, False, {})


def in_a_row(state, keys, numbers):
    """Return a file as PyTorch wrote it before version 1.6."""
    head = (torchfiles._MAGIC, 1001, {"protocol_version": 1001, "little_endian": True})
    return b"".join([*map(pickled, (*head, state, keys)), numbers])


def row(values):
    return struct.pack("<q", values.size) + values.tobytes()


@pytest.mark.parametrize("archive", [True, False], ids=["since 1.6", "before"])
def test_the_tensors_that_torch_wrote(tmp_path, archive):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(array.copy()) for name, array in EXPECTED.items()}
    state["turned"] = state["kernel"].permute(2, 3, 1, 0)
    state["part"] = state["kernel"][1:, 2]
    state["learned"] = torch.nn.Parameter(state["half"])
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=archive)
    found = torchfiles.read(tmp_path / "a.pth", MOST)
    kernel = EXPECTED["kernel"]
    expected = {
        **EXPECTED,
        "turned": kernel.transpose(2, 3, 1, 0),
        "part": kernel[1:, 2],
        "learned": EXPECTED["half"],
    }
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("archive", [True, False], ids=["since 1.6", "before"])
def test_a_whole_module_has_names_that_are_not_known(tmp_path, archive):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pth", _use_new_zipfile_serialization=archive)
    with pytest.raises(ValueError, match="other things than tensors"):
        torchfiles.read(tmp_path / "a.pth", MOST)


def test_a_file_in_a_row_is_read_without_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    values = np.arange(24, dtype=np.float32)
    state = {"a": tensor("1", (4, 6), (1, 4)), "b": tensor("1", (3,), (2,), offset=5), "epoch": 3}
    (tmp_path / "a.pth").write_bytes(in_a_row(state, ["1"], row(values)))
    found = torchfiles.read(tmp_path / "a.pth", MOST)
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], values.reshape(6, 4).T)
    np.testing.assert_array_equal(found["b"], [5, 7, 9])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (tensor("1", (25,), (1,)), "fewer numbers"),
        (tensor("1", (5, 5), (5, 1)), "fewer numbers"),
        (tensor("1", (4,), (1,), offset=21), "fewer numbers"),
        (tensor("1", (2,), (-1,), offset=5), "unknown shape"),
        (tensor("1", (2,), (1,), offset=-1), "unknown shape"),
        (tensor("1", (2, 2), (1,)), "unknown shape"),
        (tensor("1", (1,) * 9, (1,) * 9), "unknown shape"),
        (tensor("1", (2.0,), (1,)), "unknown shape"),
        (tensor("1", 2, 1), "unknown shape"),
        (tensor("1", (2,), (1,), kind="BFloat16Storage"), "other things"),
        (tensor("1", (2,), (1,), view=("2", 0, 2)), "part of a storage"),
        (
            Call(Named("torch._utils", "_rebuild_tensor_v2"), "1", 0, (2,), (1,)),
            "without a storage",
        ),
        (Call(Named("os", "system"), "false"), "other things"),
        (Call(Named("builtins", "eval"), "1"), "other things"),
        (Call(Named("torch", "FloatStorage"), 1), "other things"),
    ],
)
def test_what_cannot_be_a_tensor_of_this_file_is_refused(tmp_path, value, words):
    numbers = row(np.arange(24, dtype=np.float32))
    (tmp_path / "a.pth").write_bytes(in_a_row({"a": value}, ["1"], numbers))
    with pytest.raises(ValueError, match=words):
        torchfiles.read(tmp_path / "a.pth", MOST)


STATE, VALUES = {"a": tensor("1", (24,), (1,))}, np.arange(24, dtype=np.float32)
WHOLE = in_a_row(STATE, ["1"], row(VALUES))


@pytest.mark.parametrize(
    "content",
    [
        WHOLE[:-4],
        WHOLE[: -len(row(VALUES))],
        in_a_row(STATE, ["2"], row(VALUES)),
        in_a_row(STATE, ["1"], struct.pack("<q", -1)),
        in_a_row(STATE, ["1"], struct.pack("<q", 2**62)),
        in_a_row(STATE, 3, b""),
        b"",
        b"impasto",
    ],
    ids=["cut off", "none", "of another", "negative", "endless", "no list", "empty", "words"],
)
def test_a_file_that_says_more_than_it_has_is_refused(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"numbers|no PyTorch file"):
        torchfiles.read(tmp_path / "a.pth", MOST)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"w/data.pkl": b"no pickle"}, "no PyTorch file"),
        ({"w/other": b""}, "without data.pkl"),
        ({"w/data.pkl": pickled({"a": tensor("1", (2,), (1,))})}, "has no data/1"),
        ({"w/data.pkl": pickled({}), "w/byteorder": b"big"}, "big-endian"),
        ({"w/data.pkl": pickled([])}, "no state dict but list"),
    ],
)
def test_an_archive_of_another_kind_is_refused(tmp_path, members, words):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match=words):
        torchfiles.read(tmp_path / "a.pth", MOST)


def test_a_file_may_have_so_many_bytes(tmp_path):
    (tmp_path / "a.pth").write_bytes(bytes(100))
    with pytest.raises(ValueError, match="are possible"):
        torchfiles.read(tmp_path / "a.pth", 99)
