"""Whether the judges' weights are there; tests that need them are skipped where they are not."""

import importlib.util

import pytest

from impasto.errors import WeightsError
from impasto.evaluation import weight_packages
from impasto.network import weights


def there() -> bool:
    """Return whether every network's weights are there, as `make judges` has it."""
    try:
        weights.load_weights("vgg19")
    except WeightsError:
        return False
    return all(importlib.util.find_spec(each.package) for each in weight_packages.PACKAGES)


needed = pytest.mark.skipif(not there(), reason="the judges are missing: make judges")
