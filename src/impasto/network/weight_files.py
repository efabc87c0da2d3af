"""Reads weight files as numbers: no code is executed, and no other file is opened.

Each reader takes a path and the names of a network's convolutions in order, and returns tensors
named ``<layer>/kernel`` (height, width, in, out) and ``<layer>/bias`` (out).
:mod:`impasto.network.weights` validates their shapes and values.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.network import onnx_files, torch_files

Tensors: TypeAlias = dict[str, NDArray[np.float32]]

MAX_FILE_BYTES = 10**9
"""Maximum bytes of a file, packed and unpacked; VGG19 with its classifier has 575 million."""

MAX_TENSOR_NUMBERS = 2**22
"""Maximum size of a tensor; the largest kernel of VGG has 2.4 million numbers."""

MAX_OBJECTS, MAX_DEPTH = 10_000, 12
"""Maximum number of groups and arrays in an HDF5 file, and maximum depth."""


POSSIBLE = (
    "supported are a .pth state dict of the original VGG in PyTorch, an .h5 of Keras Applications, "
    "an .onnx as the package has it, and a .safetensors as the cache has it"
)


def check_weights_file(path: Path) -> None:
    """Raise ValueError unless ``path`` is a file with a supported size and ending."""
    ending = path.suffix.lower()
    if ending not in READERS:
        raise ValueError(f"ending {ending or 'missing'}: {POSSIBLE}")
    if not path.is_file():
        raise ValueError("no such file")
    if (size := path.stat().st_size) > MAX_FILE_BYTES:
        raise ValueError(f"{size / 1e9:.1f} GB: the maximum is {MAX_FILE_BYTES / 1e9:.1f} GB")


def read_weights(path: Path, layers: Sequence[str]) -> Tensors:
    """Read a file in the format of its ending.

    Raises:
        ValueError: :func:`check_weights_file` fails, or the file refers to another file or hides
            its size. For a damaged file, the parser's own exception is raised
    """
    check_weights_file(path)
    return READERS[path.suffix.lower()](path, layers)


def _read_safetensors(path: Path, layers: Sequence[str]) -> Tensors:
    from safetensors.numpy import load_file

    return load_file(path)


def _read_onnx(path: Path, layers: Sequence[str]) -> Tensors:
    """Read initializers named ``.../<layer>_1/...``, kernels as (out, in, height, width)."""
    tensors: Tensors = {}
    for name, array in onnx_files.iter_initializers(path):
        parts = name.split("/")
        layer = parts[1].rsplit("_", 1)[0] if len(parts) > 2 else ""
        if layer in layers:
            _store_tensor(tensors, layer, _in_keras_layout(array))
    return tensors


def _read_torch(path: Path, layers: Sequence[str]) -> Tensors:
    """Read a state dict of convolutions in order, such as ``features.<number>.weight``."""
    state = torch_files.read_state_dict(path, MAX_FILE_BYTES)
    kernels = [name for name, array in state.items() if array.ndim == 4]
    tensors: Tensors = {}
    for layer, name in zip(layers, kernels, strict=False):
        bias = name.removesuffix("weight") + "bias"
        if bias not in state:
            raise ValueError(f"has no tensor {bias}")
        _store_tensor(tensors, layer, _in_keras_layout(state[name]))
        _store_tensor(tensors, layer, state[bias])
    return tensors


def read_quantized(path: Path, layers: Sequence[str]) -> Tensors:
    """Read kernels as indexes ``<layer>_W_q`` into a table of values ``<layer>_W_table``."""
    state = torch_files.read_state_dict(path, MAX_FILE_BYTES)
    tensors: Tensors = {}
    for layer in layers:
        table, numbers = (state[f"{layer}_W_{part}"] for part in ("table", "q"))
        if numbers.size > MAX_TENSOR_NUMBERS:
            raise ValueError(f"{layer} has {numbers.size} values")
        _store_tensor(tensors, layer, _in_keras_layout(table[numbers]))
        _store_tensor(tensors, layer, state[f"{layer}_b"])
    return tensors


def _read_hdf5(path: Path, layers: Sequence[str]) -> Tensors:
    """Read arrays in groups whose name or attribute ``name`` is that of a layer.

    Keras Applications and Keras save files in this form.
    """
    import h5py

    tensors: Tensors = {}
    with path.open("rb") as stream, h5py.File(stream, "r") as file:
        for names, array in _iter_arrays(file):
            layer = next((name for name in names if name in layers), None)
            if layer and array.ndim in (1, 4) and array.size <= MAX_TENSOR_NUMBERS:
                _store_tensor(tensors, layer, array[...])
    if not tensors:
        raise ValueError("has no layers named as in Keras Applications")
    return tensors


def _iter_arrays(root: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every array of an HDF5 file, except of optimizers, with the names on its path.

    Raises:
        ValueError: data is in another file, or there are too many groups
    """
    import h5py

    left: list[tuple[tuple[str, ...], Any]] = [((), root)]
    seen = 0
    while left:
        names, group = left.pop()
        for name in group:
            seen += 1
            if seen > MAX_OBJECTS or len(names) > MAX_DEPTH:
                raise ValueError("has too many groups for a weight file")
            # A name with a slash would be resolved through links.
            if "/" in name or not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(
                    f"{name} is a link, possibly to another file: save the weights in one file"
                )
            child = group[name]
            if isinstance(child, h5py.Dataset):
                _check_plain(child)
                yield (*names, name), child
            elif isinstance(child, h5py.Group) and name != "optimizer_weights":
                left.append(((*names, name, str(child.attrs.get("name", ""))), child))


def _check_plain(array: Any) -> None:
    """Raise ValueError unless the data of an HDF5 array is in its own file.

    Call this before anything else: the size of a virtual array would open its sources.
    """
    import h5py

    layout = array.id.get_create_plist()
    if layout.get_layout() == h5py.h5d.VIRTUAL or layout.get_external_count():
        raise ValueError(f"{array.name} is stored in another file: save the weights in one file")
    # Other filters are loaded from a folder of plug-ins.
    built_in = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
    filters = {layout.get_filter(number)[0] for number in range(layout.get_nfilters())}
    if not filters <= built_in or np.prod(array.chunks or (1,), dtype=object) > MAX_TENSOR_NUMBERS:
        raise ValueError(f"{array.name} is not compressed by deflate")


def _in_keras_layout(array: NDArray[Any]) -> NDArray[Any]:
    """Return a kernel (out, in, height, width) as (height, width, in, out); a bias unchanged."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def _store_tensor(tensors: Tensors, layer: str, array: NDArray[Any]) -> None:
    """Store a kernel or a bias by name. Raises ValueError for an invalid array."""
    name = f"{layer}/{'kernel' if array.ndim == 4 else 'bias'}"
    if name in tensors:
        raise ValueError(f"has more than one tensor {name}")
    # Before the copy, since a compressed array may have any size.
    if array.size > MAX_TENSOR_NUMBERS or array.dtype.kind != "f":
        raise ValueError(f"{name} has {array.size} values of type {array.dtype}")
    tensors[name] = np.ascontiguousarray(array, dtype=np.float32)


READERS: dict[str, Callable[[Path, Sequence[str]], Tensors]] = {
    ".safetensors": _read_safetensors,
    ".onnx": _read_onnx,
    ".pth": _read_torch,
    ".h5": _read_hdf5,
}
"""Readers by file ending."""
