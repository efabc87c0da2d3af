"""The only module that loads Keras and asks which backend runs: TensorFlow, JAX or PyTorch.

``KERAS_BACKEND`` chooses it, as everywhere in Keras. Arrays come in and go out as NumPy's.
"""

import os
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.errors import BackendError

# TensorFlow's C++ log greets with several lines on import; errors still come as exceptions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

try:
    import keras as keras
    from keras import ops as ops
except (ImportError, ValueError) as error:
    raise BackendError(
        f"Keras cannot load its backend {os.environ.get('KERAS_BACKEND', 'tensorflow')!r} "
        f"({error}): KERAS_BACKEND may be tensorflow, jax (impasto[jax]) or torch (impasto[torch])"
    ) from error

Tensor: TypeAlias = Any
Loss: TypeAlias = Callable[[Tensor, Any], tuple[Tensor, dict[str, Tensor]]]
"""(picture, constants) -> (total, terms): scalars of a picture tensor (height, width, 3)."""

Step: TypeAlias = Callable[
    [NDArray[np.float32], Any], tuple[float, dict[str, float], NDArray[np.float32]]
]
"""(picture, constants) -> (total, terms, gradient of the total with the picture's shape)."""

BFLOAT16_GAIN = 1.6
"""How many times faster bfloat16 must be to be chosen: more than noise does to one timing, less
than instructions for it give, so that a machine always chooses alike."""


def name() -> str:
    """Return the name of the running backend: tensorflow, jax or torch."""
    return str(keras.backend.backend())


def value_and_gradient(loss: Loss) -> Step:
    """Compile ``loss`` into one step that gives its value, its terms and its gradient.

    ``constants`` may be any nesting of dicts, lists and (named) tuples of tensors. Rank-3
    tensors are taken as (height, width, channels) with height and width open, so that one
    compilation serves every size where the backend can do that (TensorFlow).

    Raises BackendError if Keras runs on a backend other than the three.
    """
    compilers = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    if name() not in compilers:
        raise BackendError(
            f"Keras runs on {name()!r}: set KERAS_BACKEND to one of {', '.join(compilers)}"
        )
    return compilers[name()](loss)


def _tensorflow(loss: Loss) -> Step:
    import tensorflow as tf

    # A sum of three gradients or more begins with whichever is ready first, and its last bits
    # change from run to run. In pairs it does not, unless the optimiser of graphs, whose options
    # can only be set for the whole process, puts the pairs together again.
    in_pairs = tf.AggregationMethod.EXPERIMENTAL_TREE
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})

    def differentiate(picture: Tensor, constants: Any) -> Any:
        total, terms = loss(picture, constants)
        (gradient,) = tf.gradients(total, picture, aggregation_method=in_pairs)
        return total, terms, gradient

    def open_sizes(tensor: Tensor) -> Any:
        sizes = (None, None, *tensor.shape[2:]) if len(tensor.shape) == 3 else tensor.shape
        return tf.TensorSpec(sizes, tensor.dtype)

    traced: list[Any] = []

    def step(picture: NDArray[np.float32], constants: Any) -> Any:
        arguments = (tf.constant(picture), constants)
        if not traced:
            signature = tf.nest.map_structure(open_sizes, arguments)
            traced.append(tf.function(differentiate).get_concrete_function(*signature))
        return _to_numpy(*traced[0](*arguments))

    return step


def _jax(loss: Loss) -> Step:
    import jax

    compiled = jax.jit(jax.value_and_grad(loss, has_aux=True))

    def step(picture: NDArray[np.float32], constants: Any) -> Any:
        (total, terms), gradient = compiled(picture, constants)
        return _to_numpy(total, terms, gradient)

    return step


def _torch(loss: Loss) -> Step:
    import torch

    def step(picture: NDArray[np.float32], constants: Any) -> Any:
        variable = keras.ops.convert_to_tensor(picture).clone().requires_grad_(True)
        total, terms = loss(variable, constants)
        (gradient,) = torch.autograd.grad(total, variable)
        return _to_numpy(total, terms, gradient)

    return step


def _to_numpy(total: Tensor, terms: dict[str, Tensor], gradient: Tensor) -> Any:
    convert = keras.ops.convert_to_numpy
    return (
        float(convert(total)),
        {k: float(convert(v)) for k, v in terms.items()},
        convert(gradient),
    )


def resolve_precision(precision: str) -> str:
    """Turn ``auto`` into float32 or bfloat16, by timing one convolution in both, once."""
    if precision != "auto":
        return precision
    faster = _time_convolution("float32") > BFLOAT16_GAIN * _time_convolution("bfloat16")
    return "bfloat16" if faster else "float32"


def _time_convolution(dtype: str) -> float:
    """Return the seconds of one 3 x 3 convolution of 64 channels at 128 x 128, the best of five."""
    features = keras.ops.ones((1, 128, 128, 64), dtype)
    kernel = keras.ops.ones((3, 3, 64, 64), dtype)
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        result = keras.ops.conv(features, kernel, padding="same", data_format="channels_last")
        float(keras.ops.convert_to_numpy(keras.ops.cast(result[0, 0, 0, 0], "float32")))
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
