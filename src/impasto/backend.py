"""The only module that loads Keras and asks which backend runs: TensorFlow, JAX or PyTorch.

``KERAS_BACKEND`` chooses it, as everywhere in Keras. Arrays come in and go out as NumPy's.
"""

import functools
import gc
import os
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.errors import BackendError

# TensorFlow's C++ log greets with several lines on import; errors still come as exceptions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Nothing of what an import makes is garbage; looking for some takes a sixth of its time.
_collecting = gc.isenabled()
gc.disable()
try:
    import keras as keras
    from keras import ops as ops
except (ImportError, ValueError) as error:
    raise BackendError(
        f"Keras cannot load its backend {os.environ.get('KERAS_BACKEND', 'tensorflow')!r} "
        f"({error}): KERAS_BACKEND may be tensorflow, jax (impasto[jax]) or torch (impasto[torch])"
    ) from error
finally:
    if _collecting:
        gc.enable()

Tensor: TypeAlias = Any
Loss: TypeAlias = Callable[[Tensor, Any], tuple[Tensor, dict[str, Tensor]]]
"""(picture, constants) -> (total, terms): scalars of a picture tensor (height, width, 3)."""

Array: TypeAlias = Any
"""A NumPy array, or a tensor of the running backend."""
Step: TypeAlias = Callable[[Array, Any], tuple[float, dict[str, float], Array]]
"""(picture, constants) -> (total, terms, gradient of the total with the picture's shape).

The gradient of a NumPy array is one, that of a tensor stays on its device."""

HostFunction: TypeAlias = Callable[..., NDArray[np.float32]]


def name() -> str:
    """Return the name of the running backend: tensorflow, jax or torch."""
    return str(keras.backend.backend())


def value_and_gradient(loss: Loss) -> Step:
    """Compile ``loss`` into one step that gives its value, its terms and its gradient.

    ``constants`` may be any nesting of dicts, lists and (named) tuples of tensors. Rank-3
    tensors are taken as (height, width, channels) with height and width open, so that one
    compilation serves every size where the backend can do that (TensorFlow); constants of another
    structure are compiled again.

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

    traced: dict[str, Any] = {}

    def step(picture: Array, constants: Any) -> Any:
        arguments = (tf.convert_to_tensor(picture), constants)
        signature = tf.nest.map_structure(open_sizes, arguments)
        if (key := repr(signature)) not in traced:
            compiled = tf.function(differentiate, autograph=False)
            traced[key] = compiled.get_concrete_function(*signature)
        return _as_given(picture, *traced[key](*arguments))

    return step


def _jax(loss: Loss) -> Step:
    import jax

    compiled = jax.jit(jax.value_and_grad(loss, has_aux=True))

    def step(picture: Array, constants: Any) -> Any:
        (total, terms), gradient = compiled(picture, constants)
        return _as_given(picture, total, terms, gradient)

    return step


def _torch(loss: Loss) -> Step:
    import torch

    def step(picture: Array, constants: Any) -> Any:
        variable = keras.ops.convert_to_tensor(picture).clone().requires_grad_(True)
        total, terms = loss(variable, constants)
        (gradient,) = torch.autograd.grad(total, variable)
        return _as_given(picture, total, terms, gradient)

    return step


def _as_given(picture: Array, total: Tensor, terms: dict[str, Tensor], gradient: Tensor) -> Any:
    numbers = {name: float(to_numpy(value)) for name, value in terms.items()}
    is_numpy = isinstance(picture, np.ndarray)
    return float(to_numpy(total)), numbers, to_numpy(gradient) if is_numpy else gradient


def to_numpy(array: Array) -> NDArray[Any]:
    """Return a tensor as a NumPy array; one that is one already as it is."""
    return array if isinstance(array, np.ndarray) else keras.ops.convert_to_numpy(array)


def to_device(array: NDArray[np.float32]) -> Array:
    """Bring an array to where it is computed on: a tensor on a GPU, the array itself without."""
    return array if _on_processor() else keras.ops.convert_to_tensor(array)


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Return whether NumPy, or the running backend, raised an error for want of memory.

    Each backend has errors of its own for it, and Keras, TensorFlow and JAX wrap those of others;
    but each says so, or the one within it does.
    """
    if error is None or isinstance(error, MemoryError):
        return error is not None
    said = f"{type(error).__name__}: {error}".lower()
    within = error.__cause__ or error.__context__
    return any(words in said for words in _OUT_OF_MEMORY) or ran_out_of_memory(within)


_OUT_OF_MEMORY = (
    "resourceexhausted",
    "resource_exhausted",
    "out of memory",
    "outofmemory",
    "memoryerror",
    "can't allocate memory",
    "not enough memory",
)


def on_host(
    function: HostFunction,
    gradient: HostFunction,
    shape: Callable[[tuple[Any, ...]], tuple[Any, ...]],
    *constants: Tensor,
) -> Callable[[Tensor], Tensor]:
    """Return a NumPy function, with its NumPy gradient, as one of tensors in a compiled step.

    function(input, *constants) -> result and gradient(upstream, input, result, *constants) ->
    array like the input, all float32; ``shape`` turns the input's shape, whose sizes may be open,
    into the result's.
    """

    def forward(value: Tensor) -> Tensor:
        return _call_host(function, shape(keras.ops.shape(value)), value, *constants)

    def backward(upstream: Tensor, value: Tensor, result: Tensor) -> Tensor:
        of = keras.ops.shape(value)
        return _call_host(gradient, of, upstream, value, result, *constants)

    return differentiable(forward, backward)


def _call_host(function: HostFunction, shape: tuple[Any, ...], *tensors: Tensor) -> Tensor:
    def call(*arrays: Any) -> NDArray[np.float32]:
        return function(*(np.asarray(array) for array in arrays))

    if name() == "tensorflow":
        import tensorflow as tf

        static = [length if isinstance(length, int) else None for length in shape]
        return tf.ensure_shape(tf.numpy_function(call, tensors, tf.float32, stateful=False), static)
    if name() == "jax":
        import jax

        return jax.pure_callback(call, jax.ShapeDtypeStruct(tuple(shape), np.float32), *tensors)
    import torch

    given = (keras.ops.convert_to_tensor(each).detach() for each in tensors)
    return torch.from_numpy(call(*given))


def differentiable(
    forward: Callable[[Tensor], Tensor], gradient: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """Return ``forward`` with a gradient of its own: gradient(upstream, input, result)."""

    @keras.ops.custom_gradient
    def function(value: Tensor) -> Any:
        result = forward(value)
        # On PyTorch a result that its own gradient holds on to would never be freed.
        seen = keras.ops.stop_gradient(result)

        def backward(*arguments: Tensor, upstream: Tensor = None) -> Tensor:
            # On PyTorch Keras hands over the input, and the gradient by name; elsewhere it alone.
            return gradient(arguments[0] if upstream is None else upstream, value, seen)

        return result, backward

    return function


def dtype_of(tensor: Tensor) -> str:
    """Return the name of a tensor's dtype, such as float32."""
    return str(keras.backend.standardize_dtype(tensor.dtype))


def computed_on_host(dtype: str) -> bool:
    """Return whether :mod:`impasto.processor` is to compute on such tensors: float32, no GPU."""
    return dtype == "float32" and _on_processor()


@functools.cache
def _on_processor() -> bool:
    if name() == "tensorflow":
        import tensorflow as tf

        return not tf.config.list_physical_devices("GPU")
    if name() == "jax":
        import jax

        return bool(jax.default_backend() == "cpu")
    return bool(keras.ops.zeros(1).device.type == "cpu")
