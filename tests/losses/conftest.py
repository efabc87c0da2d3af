"""What losses are computed with."""

import numpy as np
import pytest
from keras import ops


@pytest.fixture(
    scope="module", params=[np.asarray, ops.convert_to_tensor], ids=["arrays", "tensors"]
)
def place(request):
    """What makes an array of NumPy's that of an engine: itself, or a tensor."""
    return request.param
