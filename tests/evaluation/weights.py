"""Whether the judges' weights are there; tests that need them are skipped where they are not."""

import pytest

from impasto.errors import WeightsError
from impasto.evaluation import weight_packages
from impasto.network import weights


def there() -> bool:
    """Return whether every network's weights are there, as `make judges` has it."""
    try:
        weights.load_weights("vgg19")
        weight_packages.check_packages()
    except WeightsError:
        return False
    return True


needed = pytest.mark.skipif(not there(), reason="the judges are missing: make judges")
