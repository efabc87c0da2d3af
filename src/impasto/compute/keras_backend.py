"""The only module that loads Keras; it asks which backend runs: TensorFlow, JAX or PyTorch.

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
"""The environment variable by which a process of impasto's own, such as the command or a worker of
its, asks for :func:`_silenced_import`."""


def _silenced_import() -> contextlib.AbstractContextManager[None]:
    """Return a context that discards what TensorFlow's C++ code writes to stderr on import.

    Some of its lines come before it reads a log level. Only where the environment asks for it: the
    stderr of a program that uses impasto as a library is the program's own.
    """
    return files.silenced_stderr() if os.environ.get(QUIET_LOADING) else contextlib.nullcontext()


@contextlib.contextmanager
def _default_variable(variable: str, value: str | None) -> Iterator[None]:
    """Set a variable of the environment for a while, unless it is set or there is no value."""
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
    """Remove the settings file, and its folder, that Keras makes where there was none before.

    For somebody without a home it would lie among the temporary files.
    """
    made = [path for path in (settings_file(), settings_file().parent) if not path.exists()]
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # others may have put something into the folder
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
"""Any nesting of dicts, lists and tuples of tensors."""
LossFunction: TypeAlias = Callable[[Tensor, StepArgs], tuple[Tensor, dict[str, Tensor]]]
"""(picture, constants) -> (total, terms): scalars of a picture tensor (height, width, 3)."""

StepResult: TypeAlias = tuple[float, dict[str, float], Array]
"""Total, terms, and the total's gradient with the picture's shape."""
CompiledStep: TypeAlias = Callable[[Array, StepArgs], StepResult]
"""(picture, constants) -> (total, terms, gradient of the total with the picture's shape).

The gradient of a NumPy array is one, that of a tensor stays on its device."""

_PROCESS = os.getpid()


def check_backend() -> None:
    """Raise BackendError if Keras cannot compute: on another backend, in a graph, after a fork.

    The threads of a tensor library are not there any more in a process that was forked after it was
    loaded, and the first that waits for one of them waits forever.
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
    """Return the name of the running backend: tensorflow, jax or torch."""
    return str(keras.backend.backend())


def value_and_gradient(loss: LossFunction) -> CompiledStep:
    """Compile ``loss`` into one step that gives its value, its terms and its gradient.

    ``constants`` may be any nesting of dicts, lists and (named) tuples of tensors. Rank-3
    tensors are taken as (height, width, channels) with height and width open, so that one
    compilation serves every size where the backend can do that (TensorFlow); constants of another
    structure are compiled again.

    Raises BackendError if Keras runs on a backend other than the three.
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
"""(picture, constants) -> total and terms as one tensor, the terms' names, the gradient."""


def _compile_tensorflow(loss: LossFunction) -> GradFunction:
    import tensorflow as tf

    # A sum of three gradients or more begins with whichever is ready first, and its last bits
    # change from run to run. In pairs it does not, unless the optimizer of graphs, whose options
    # can only be set for the whole process, puts the pairs together again.
    in_pairs = tf.AggregationMethod.EXPERIMENTAL_TREE
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})

    def differentiate(image: Tensor, constants: StepArgs) -> tuple[Tensor, ...]:
        total, terms = loss(image, constants)
        (gradient,) = tf.gradients(total, image, aggregation_method=in_pairs)
        return _stack_scalars(total, terms), terms, gradient

    return _trace(differentiate)


def _trace(function: Callable[..., Any]) -> Callable[[Array, StepArgs], Any]:
    """Trace a function of (array, constants) once for every structure, sizes of rank 3 open."""
    import tensorflow as tf

    def open_sizes(tensor: Tensor) -> tf.TensorSpec:
        sizes = (None, None, *tensor.shape[2:]) if len(tensor.shape) == 3 else tensor.shape
        return tf.TensorSpec(sizes, tensor.dtype)

    found: dict[str, Callable[..., Any]] = {}

    def call(array: Array, constants: StepArgs) -> Any:
        arguments = (tf.convert_to_tensor(array), constants)
        signature = tf.nest.map_structure(open_sizes, arguments)
        if (key := repr(signature)) not in found:
            compiled = tf.function(function, autograph=False)
            found[key] = compiled.get_concrete_function(*signature)
        return found[key](*arguments)

    return call


def compile_function(
    function: Callable[[Tensor, StepArgs], Tensor],
) -> Callable[[Array, StepArgs], Tensor]:
    """Compile a function of an array and constants, as :func:`value_and_gradient` takes them."""
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
    """Return all numbers as one tensor: a device is waited for but once."""
    return ops.stack([total, *(terms[name] for name in sorted(terms))])


def use_threads(count: int) -> None:
    """Compute as a machine with so many cores does, to the last bit; before anything is computed.

    How tensor libraries cut up their sums depends on the number of their threads.
    """
    if backend_name() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(count)
    elif backend_name() == "jax":
        os.environ["NPROC"] = str(count)  # XLA's, which has no other word for it
    else:
        import torch

        torch.set_num_threads(count)


def to_device(array: NDArray[np.float32]) -> Array:
    """Bring an array to where it is computed on: a tensor on a GPU, the array itself without."""
    return array if runs_on_cpu() else keras.ops.convert_to_tensor(filearray.in_memory(array))


@functools.cache
def runs_on_cpu() -> bool:
    """Return whether tensors are on a processor, and not on a GPU."""
    if backend_name() == "tensorflow":
        import tensorflow as tf

        return not tf.config.list_physical_devices("GPU")
    if backend_name() == "jax":
        import jax

        return bool(jax.default_backend() == "cpu")
    return bool(keras.ops.zeros(1, "float32").device.type == "cpu")
