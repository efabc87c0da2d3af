"""Loads Keras, and compiles functions for its backend: TensorFlow, JAX or PyTorch.

``KERAS_BACKEND`` selects the backend, as in Keras. Arrays are passed as NumPy arrays.

Other settings of Keras, from ``keras.json`` or a program, have no effect: dtypes and axis order
are given explicitly wherever Keras would use its settings, which stay unchanged.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from impasto import filearray, files
from impasto.compute import keras_settings
from impasto.compute.arrays import Array, Tensor, to_numpy
from impasto.compute.keras_settings import BACKENDS, settings_file
from impasto.errors import BackendError

QUIET_LOADING = "IMPASTO_QUIET_LOADING"
"""The environment variable with which impasto's own processes, such as the command or a worker,
enable :func:`_silenced_import`."""


def _silenced_import() -> contextlib.AbstractContextManager[None]:
    """Return a context that discards the output of TensorFlow's C++ code to stderr on import.

    Some of it ignores the log level. Only if QUIET_LOADING is set, since the stderr of a program
    that uses impasto as a library belongs to that program.
    """
    return files.silenced_stderr() if os.environ.get(QUIET_LOADING) else contextlib.nullcontext()


@contextlib.contextmanager
def _default_variable(variable: str, value: str | None) -> Iterator[None]:
    """Set an environment variable in a context, unless it is set or there is no value."""
    chosen = value is None or variable in os.environ
    if not chosen:
        os.environ[variable] = str(value)
    try:
        yield
    finally:
        if not chosen:
            del os.environ[variable]


@contextlib.contextmanager
def _without_new_settings_file() -> Iterator[None]:
    """Remove the settings file, and its folder, if importing Keras created them.

    Without a home folder it would be among the temporary files.
    """
    made = [path for path in (settings_file(), settings_file().parent) if not path.exists()]
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder may have other files
            for path in made:
                path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)


try:
    with (
        _silenced_import(),
        _default_variable("KERAS_BACKEND", keras_settings.replacement_backend()),
        _without_new_settings_file(),
    ):
        import keras as keras
        from keras import ops as ops
except ImportError as error:
    raise BackendError(
        f"Keras cannot load its backend {os.environ.get('KERAS_BACKEND', 'tensorflow')!r} "
        f"({error}): KERAS_BACKEND may be tensorflow, jax (impasto[jax]) or torch (PyTorch)"
    ) from error
except (ValueError, TypeError, AttributeError) as error:
    raise BackendError(
        f"Keras cannot be loaded with KERAS_BACKEND {os.environ.get('KERAS_BACKEND')!r} and its "
        f"settings in {settings_file()} ({' '.join(str(error).split())}): fix or "
        "remove that file; KERAS_BACKEND may be tensorflow, jax or torch"
    ) from error

StepArgs: TypeAlias = Any
"""A nested structure of dicts, lists and tuples of tensors."""
LossFunction: TypeAlias = Callable[[Tensor, StepArgs], tuple[Tensor, dict[str, Tensor]]]
"""(image, constants) -> (total, terms), scalars, of an image tensor (height, width, 3)."""

StepResult: TypeAlias = tuple[float, dict[str, float], Array]
"""Total, terms, and the gradient of the total with the image's shape."""
CompiledStep: TypeAlias = Callable[[Array, StepArgs], StepResult]
"""(image, constants) -> (total, terms, gradient of the total with the image's shape).

The gradient is a NumPy array if the image is one, else a tensor on its device."""

_PROCESS = os.getpid()


def check_backend() -> None:
    """Raise BackendError for an unsupported backend, in a graph, or after a fork.

    The threads of a tensor library do not survive a fork, so a forked process would wait forever.
    """
    if os.getpid() != _PROCESS:
        raise BackendError(
            "this process was forked after the tensor library was loaded, which it does not "
            "support: start processes with the multiprocessing method 'spawn' or 'forkserver'"
        )
    if backend_name() not in BACKENDS:
        raise BackendError(
            f"Keras runs on {backend_name()!r}: set KERAS_BACKEND to one of {', '.join(BACKENDS)}"
        )
    if backend_name() == "tensorflow":
        import tensorflow as tf

        if not tf.executing_eagerly():
            raise BackendError(
                "TensorFlow is building a graph (tf.Graph().as_default() or tf.function), in which "
                "impasto cannot compute: call it outside"
            )


def backend_name() -> str:
    """Return the name of the backend: tensorflow, jax or torch."""
    return str(keras.backend.backend())


def value_and_gradient(loss: LossFunction) -> CompiledStep:
    """Compile ``loss`` into a function that returns its value, its terms and its gradient.

    ``constants`` may be a nested structure of dicts, lists and (named) tuples of tensors. Tensors
    of rank 3 are (height, width, channels) with any height and width, so TensorFlow compiles once
    for all sizes. Constants of another structure are compiled again.

    Raises:
        BackendError: the backend is not one of the three
    """
    check_backend()
    differentiated = {
        "tensorflow": _compile_tensorflow,
        "jax": _compile_jax,
        "torch": _compile_torch,
    }[backend_name()](loss)

    def step(image: Array, constants: StepArgs) -> StepResult:
        numbers, names, gradient = differentiated(image, constants)
        value, *others = to_numpy(numbers).tolist()
        terms = dict(zip(sorted(names), others, strict=True))
        return value, terms, to_numpy(gradient) if isinstance(image, np.ndarray) else gradient

    return step


GradFunction: TypeAlias = Callable[[Array, StepArgs], tuple[Tensor, Iterable[str], Tensor]]
"""(image, constants) -> total and terms as one tensor, the names of the terms, the gradient."""


def _compile_tensorflow(loss: LossFunction) -> GradFunction:
    import tensorflow as tf

    # A sum of three or more gradients starts with the first that is ready, so its last bits change
    # from run to run. Sums of pairs do not, unless the graph optimizer, whose options hold for the
    # whole process, merges the pairs.
    in_pairs = tf.AggregationMethod.EXPERIMENTAL_TREE
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})

    def differentiate(image: Tensor, constants: StepArgs) -> tuple[Tensor, ...]:
        total, terms = loss(image, constants)
        (gradient,) = tf.gradients(total, image, aggregation_method=in_pairs)
        return _stack_scalars(total, terms), terms, gradient

    return _trace(differentiate)


def _trace(function: Callable[..., Any]) -> Callable[[Array, StepArgs], Any]:
    """Trace a function of (array, constants) once per structure, for all heights and widths."""
    import tensorflow as tf

    def open_sizes(tensor: Tensor) -> tf.TensorSpec:
        sizes = (None, None, *tensor.shape[2:]) if len(tensor.shape) == 3 else tensor.shape
        return tf.TensorSpec(sizes, tensor.dtype)

    compiled_functions: dict[str, Callable[..., Any]] = {}

    def call(array: Array, constants: StepArgs) -> Any:
        arguments = (tf.convert_to_tensor(array), constants)
        signature = tf.nest.map_structure(open_sizes, arguments)
        if (key := repr(signature)) not in compiled_functions:
            compiled = tf.function(function, autograph=False)
            compiled_functions[key] = compiled.get_concrete_function(*signature)
        return compiled_functions[key](*arguments)

    return call


def compile_function(
    function: Callable[[Tensor, StepArgs], Tensor],
) -> Callable[[Array, StepArgs], Tensor]:
    """Compile a function of an array and constants, see :func:`value_and_gradient`."""
    if backend_name() == "tensorflow":
        return _trace(function)
    if backend_name() == "jax":
        import jax

        return cast(Callable[[Array, StepArgs], Tensor], jax.jit(function))
    import torch

    def call(array: Array, constants: StepArgs) -> Tensor:
        with torch.no_grad():
            return function(keras.ops.convert_to_tensor(array), constants)

    return call


def _compile_jax(loss: LossFunction) -> GradFunction:
    import jax

    differentiate = jax.value_and_grad(loss, has_aux=True)

    def evaluated(image: Array, constants: StepArgs) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        (total, terms), gradient = differentiate(image, constants)
        return _stack_scalars(total, terms), terms, gradient

    return cast(GradFunction, jax.jit(evaluated))


def _compile_torch(loss: LossFunction) -> GradFunction:
    import torch

    def evaluated(image: Array, constants: StepArgs) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        variable = keras.ops.convert_to_tensor(image).clone().requires_grad_(True)
        total, terms = loss(variable, constants)
        (gradient,) = torch.autograd.grad(total, variable)
        return _stack_scalars(total, terms), terms, gradient

    return evaluated


def _stack_scalars(total: Tensor, terms: dict[str, Tensor]) -> Tensor:
    """Return all numbers as one tensor, so that a GPU is waited for once."""
    return ops.stack([total, *(terms[name] for name in sorted(terms))])


def use_threads(count: int) -> None:
    """Set the number of threads of the backend; call it before the first computation.

    Tensor libraries divide sums by their number of threads. With the same number, two machines with
    processors of the same kind compute the same last bits.
    """
    if backend_name() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(count)
    elif backend_name() == "jax":
        os.environ["NPROC"] = str(count)  # the only setting of XLA for this
    else:
        import torch

        torch.set_num_threads(count)


def to_device(array: NDArray[np.float32]) -> Array:
    """Return an array as a tensor on a GPU; without a GPU the array itself."""
    return array if runs_on_cpu() else keras.ops.convert_to_tensor(filearray.in_memory(array))


@functools.cache
def runs_on_cpu() -> bool:
    """Return whether tensors are on the CPU."""
    if backend_name() == "tensorflow":
        import tensorflow as tf

        return not tf.config.list_physical_devices("GPU")
    if backend_name() == "jax":
        import jax

        return bool(jax.default_backend() == "cpu")
    return bool(keras.ops.zeros(1, "float32").device.type == "cpu")
