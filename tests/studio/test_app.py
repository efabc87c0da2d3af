"""The error responses of the studio, without a server."""

import pytest

from impasto.errors import ImageError, OutputError

pytest.importorskip("starlette")

from impasto.studio.app import Studio
from impasto.studio.store import Store


@pytest.mark.parametrize(("error", "status"), [(OutputError, 507), (ImageError, 415)])
def test_a_full_disk_and_an_invalid_image_have_different_statuses(tmp_path, error, status):
    handlers = Studio(Store(tmp_path)).app().exception_handlers
    handler = next(handlers[each] for each in error.__mro__ if each in handlers)
    assert handler(None, error("no space left")).status_code == status
