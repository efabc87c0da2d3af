"""The only module that loads Keras and asks which backend runs: TensorFlow, JAX or PyTorch.

``KERAS_BACKEND`` chooses it, as everywhere in Keras. Arrays come in and go out as NumPy's.

Nothing depends on what else Keras is set to, by ``keras.json`` or a program: dtypes and the order
of axes are named wherever Keras would take them from its settings, which stay as they are.
"""

import contextlib
import functools
import importlib.util
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from impasto import files, paged
from impasto.errors import BackendError

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@contextlib.contextmanager
def _without_greetings() -> Iterator[None]:
    """Keep off stderr what TensorFlow's C++ log greets with on import.

    It reads its level as it is loaded; one that somebody chose stays, and at 0 they see all. On
    processors with AVX-512 it has lines that heed no level, printed while its libraries are loaded.
    """
    everything = os.environ.get(_LOG_LEVEL) == "0"
    with _by_default(_LOG_LEVEL, "3"), contextlib.nullcontext() if everything else files.quiet():
        yield


@contextlib.contextmanager
def _by_default(variable: str, value: str | None) -> Iterator[None]:
    """Set a variable of the environment for a while, unless it is set or there is no value."""
    chosen = value is None or variable in os.environ
    if not chosen:
        os.environ[variable] = str(value)
    try:
        yield
    finally:
        if not chosen:
            del os.environ[variable]


BACKENDS = ("tensorflow", "jax", "torch")
"""Those that Keras may run on, by the names of their packages too."""


def _settings_file() -> Path:
    """Return the file that Keras reads its settings from, and makes where there is none."""
    home = os.path.expanduser("~")
    usual = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME", usual)), "keras.json")


def _instead() -> str | None:
    """Return the backend to load instead of that in a person's ``keras.json``; None for that one.

    The file may name a backend for other work, that impasto does not know or that this
    environment lacks. What KERAS_BACKEND names was named for this run, and is not replaced.
    """
    try:
        said = json.loads(_settings_file().read_text(encoding="utf-8"))
        wanted = said.get("backend", "tensorflow")
    except (OSError, ValueError, AttributeError):
        return None
    usable = wanted in BACKENDS and importlib.util.find_spec(wanted) is not None
    return None if usable or "keras" in sys.modules else "tensorflow"


@contextlib.contextmanager
def _leaving_no_settings() -> Iterator[None]:
    """Remove the settings file, and its folder, that Keras makes where there was none before.

    For somebody without a home it would lie among the temporary files.
    """
    made = [path for path in (_settings_file(), _settings_file().parent) if not path.exists()]
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # others may have put something into the folder
            for path in made:
                path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)


try:
    with _without_greetings(), _by_default("KERAS_BACKEND", _instead()), _leaving_no_settings():
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
        f"settings in {_settings_file()} ({' '.join(str(error).split())}): mend that file, or "
        "remove it; KERAS_BACKEND may be tensorflow, jax or torch"
    ) from error

Tensor: TypeAlias = Any
"""A tensor of the running backend."""
Constants: TypeAlias = Any
"""Any nesting of dicts, lists and tuples of tensors."""
Loss: TypeAlias = Callable[[Tensor, Constants], tuple[Tensor, dict[str, Tensor]]]
"""(picture, constants) -> (total, terms): scalars of a picture tensor (height, width, 3)."""

Array: TypeAlias = Any
"""A NumPy array, or a tensor of the running backend."""
Evaluated: TypeAlias = tuple[float, dict[str, float], Array]
"""Total, terms, and the total's gradient with the picture's shape."""
Step: TypeAlias = Callable[[Array, Constants], Evaluated]
"""(picture, constants) -> (total, terms, gradient of the total with the picture's shape).

The gradient of a NumPy array is one, that of a tensor stays on its device."""

Tensors: TypeAlias = tuple[Tensor, ...]
Size: TypeAlias = Any
"""A whole number; in a traced function perhaps a tensor of one."""
Shape: TypeAlias = tuple[Size, ...]
Like: TypeAlias = Sequence[tuple[Shape, str]]
"""Shapes, NaN where a size is open, and dtypes of what a function on the host gives"""
HostArray: TypeAlias = NDArray[Any]
"""An array that a function on the host takes or gives."""
HostFunction: TypeAlias = Callable[..., HostArray | tuple[HostArray, ...]]
"""NumPy arrays -> an array or several"""


_PROCESS = os.getpid()


def check_process() -> None:
    """Raise BackendError in a process that was forked after the tensor library was loaded.

    Its threads are not there any more, and the first that waits for one of them waits forever.
    """
    if os.getpid() != _PROCESS:
        raise BackendError(
            "this process was forked after the tensor library was loaded, which does not live "
            "through that: start processes with multiprocessing's method 'spawn' or 'forkserver'"
        )


def check_backend() -> None:
    """Raise BackendError if a program loaded Keras with a backend that cannot paint."""
    if name() not in BACKENDS:
        raise BackendError(
            f"Keras runs on {name()!r}: set KERAS_BACKEND to one of {', '.join(BACKENDS)}"
        )


def name() -> str:
    """Return the name of the running backend: tensorflow, jax or torch."""
    return str(keras.backend.backend())


F = TypeVar("F", bound=Callable[..., Any])


def fused(function: F, static: tuple[int, ...] = ()) -> F:
    """Return a pure function of arrays that is one program where these are JAX's, on a GPU.

    By itself JAX compiles every operation for every shape, and starts one after the other.
    Elsewhere it is the function itself: on a processor, where little is left to tensors, the last
    bits of what is compiled together depend on the number of threads. What it is given, without
    names, is arrays, tensors, None and numbers that nothing is decided by, in any nesting; but for
    the arguments of these numbers, which can be hashed.
    """

    @functools.cache
    def compiled() -> F:
        import jax

        return cast(F, jax.jit(function, static_argnums=static))

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        on_jax = name() == "jax" and not on_processor()
        together = on_jax and any(map(is_tensor, keras.tree.flatten(arguments)))
        return (compiled() if together else function)(*arguments)

    return cast(F, call)


def value_and_gradient(loss: Loss) -> Step:
    """Compile ``loss`` into one step that gives its value, its terms and its gradient.

    ``constants`` may be any nesting of dicts, lists and (named) tuples of tensors. Rank-3
    tensors are taken as (height, width, channels) with height and width open, so that one
    compilation serves every size where the backend can do that (TensorFlow); constants of another
    structure are compiled again.

    Raises BackendError if Keras runs on a backend other than the three.
    """
    check_backend()
    return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[name()](loss)


def _tensorflow(loss: Loss) -> Step:
    import tensorflow as tf

    # A sum of three gradients or more begins with whichever is ready first, and its last bits
    # change from run to run. In pairs it does not, unless the optimizer of graphs, whose options
    # can only be set for the whole process, puts the pairs together again.
    in_pairs = tf.AggregationMethod.EXPERIMENTAL_TREE
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})

    def differentiate(picture: Tensor, constants: Constants) -> tuple[Tensor, ...]:
        total, terms = loss(picture, constants)
        (gradient,) = tf.gradients(total, picture, aggregation_method=in_pairs)
        return _in_one(total, terms), terms, gradient

    traced = _traced(differentiate)
    return lambda picture, constants: _as_given(picture, *traced(picture, constants))


def _traced(function: Callable[..., Any]) -> Callable[[Array, Constants], Any]:
    """Trace a function of (array, constants) once for every structure, sizes of rank 3 open."""
    import tensorflow as tf

    def open_sizes(tensor: Tensor) -> tf.TensorSpec:
        sizes = (None, None, *tensor.shape[2:]) if len(tensor.shape) == 3 else tensor.shape
        return tf.TensorSpec(sizes, tensor.dtype)

    found: dict[str, Callable[..., Any]] = {}

    def call(array: Array, constants: Constants) -> Any:
        arguments = (tf.convert_to_tensor(array), constants)
        signature = tf.nest.map_structure(open_sizes, arguments)
        if (key := repr(signature)) not in found:
            compiled = tf.function(function, autograph=False)
            found[key] = compiled.get_concrete_function(*signature)
        return found[key](*arguments)

    return call


def compiled(
    function: Callable[[Tensor, Constants], Tensor],
) -> Callable[[Array, Constants], Tensor]:
    """Compile a function of an array and constants, as :func:`value_and_gradient` takes them."""
    if name() == "tensorflow":
        return _traced(function)
    if name() == "jax":
        return _program(function)
    import torch

    def call(array: Array, constants: Constants) -> Tensor:
        with torch.no_grad():
            return function(keras.ops.convert_to_tensor(array), constants)

    return call


def _jax(loss: Loss) -> Step:
    import jax

    differentiate = jax.value_and_grad(loss, has_aux=True)

    def evaluated(picture: Array, constants: Constants) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        (total, terms), gradient = differentiate(picture, constants)
        return _in_one(total, terms), terms, gradient

    run = _program(evaluated)
    return lambda picture, constants: _as_given(picture, *run(picture, constants))


def _program(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of tensors in JAX, once for every structure and every size.

    The tensors that it holds on to, such as a network's kernels, are found as it is traced and
    handed to the program: with ``jax.jit`` alone each program would have them as a part of it, and
    take longer to compile.
    """
    import jax

    def compile_for(*arguments: Any) -> tuple[Callable[..., Any], list[Tensor], Any]:
        traced, like = jax.make_jaxpr(function, return_shape=True)(*arguments)
        run = jax.jit(functools.partial(jax.core.eval_jaxpr, traced.jaxpr))
        return run, list(map(ops.convert_to_tensor, traced.consts)), jax.tree.structure(like)

    found: dict[Any, tuple[Callable[..., Any], list[Tensor], Any]] = {}

    def call(*arguments: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        key = (structure, *((np.shape(each), dtype_of(each)) for each in leaves))
        if key not in found:
            found[key] = compile_for(*arguments)
        run, held, like = found[key]
        return jax.tree.unflatten(like, run(held, *leaves))

    return call


def _torch(loss: Loss) -> Step:
    import torch

    def step(picture: Array, constants: Constants) -> Evaluated:
        variable = keras.ops.convert_to_tensor(picture).clone().requires_grad_(True)
        total, terms = loss(variable, constants)
        (gradient,) = torch.autograd.grad(total, variable)
        return _as_given(picture, _in_one(total, terms), terms, gradient)

    return step


Then: TypeAlias = Callable[[Any], Any]
"""What is made of the result of a function of a picture."""


def traced(function: Callable[[Tensor], Any]) -> Callable[..., Any]:
    """Return (picture, then=None) -> function(picture), and what ``then`` makes of it.

    Each is traced at its first call: in TensorFlow, whose host functions get and give copies where
    they are not traced, and which then keeps their memory, for pictures of any size; in JAX, which
    otherwise compiles every operation by itself, for each size.
    """

    def composed(see: Callable[[Tensor], Any], picture: Tensor, then: Then | None) -> Any:
        return see(picture) if then is None else then(see(picture))

    if name() != "tensorflow":
        # Not one program of JAX with what is made of it, whose last bits would be others.
        see = _program(function) if name() == "jax" else function
        return lambda picture, then=None: composed(see, picture, then)
    import tensorflow as tf

    @functools.cache
    def trace(then: Then | None) -> Callable[[Tensor], Any]:
        of_any_size = tf.TensorSpec((None, None, 3), "float32")
        made = tf.function(functools.partial(composed, function, then=then), autograph=False)
        return made.get_concrete_function(of_any_size)

    return lambda picture, then=None: trace(then)(tf.convert_to_tensor(picture))


def _in_one(total: Tensor, terms: dict[str, Tensor]) -> Tensor:
    """Return all numbers as one tensor: a device is waited for but once."""
    return ops.stack([total, *(terms[name] for name in sorted(terms))])


def _as_given(picture: Array, numbers: Tensor, names: Iterable[str], gradient: Tensor) -> Evaluated:
    value, *others = to_numpy(numbers).tolist()
    terms = dict(zip(sorted(names), others, strict=True))
    return value, terms, to_numpy(gradient) if isinstance(picture, np.ndarray) else gradient


def to_numpy(array: Array) -> HostArray:
    """Return a tensor as a NumPy array; one that is one already, or is paged, as it is."""
    return array if paged.on_host(array) else keras.ops.convert_to_numpy(array)


def at_hand(tensor: Tensor) -> Array:
    """Return a tensor as what is computed with once a level: NumPy's without a GPU, else itself."""
    return to_numpy(tensor) if on_processor() else tensor


def functions_of(array: Array) -> Any:
    """Return the functions that take such an array: NumPy's, or those of the backend's tensors.

    For what both have under the same name.
    """
    return ops if is_tensor(array) else np


def beside(value: HostArray, array: Array) -> Array:
    """Return numbers of the host as what can be computed with beside ``array``."""
    return ops.convert_to_tensor(value) if is_tensor(array) else value


def rows(array: Array, indexes: NDArray[Any]) -> Array:
    """Return those rows of an array (n, ...) or of a tensor, in the form of ``indexes``."""
    return _rows(array, indexes.astype(np.int32)) if is_tensor(array) else array[indexes]


@fused
def _rows(tensor: Tensor, indexes: NDArray[np.int32]) -> Tensor:
    return ops.take(tensor, ops.convert_to_tensor(indexes), axis=0)


def use_threads(count: int) -> None:
    """Compute as a machine with so many cores does, to the last bit; before anything is computed.

    How tensor libraries cut up their sums depends on the number of their threads.
    """
    if name() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(count)
    elif name() == "jax":
        os.environ["NPROC"] = str(count)  # XLA's, which has no other word for it
    else:
        import torch

        torch.set_num_threads(count)


def is_tensor(value: object) -> bool:
    """Return whether a value is one of the running backend's tensors."""
    return bool(keras.ops.is_tensor(value))


def is_finite(tensor: Tensor) -> bool:
    """Return whether every number of a tensor is finite."""
    return bool(_is_finite(tensor))


@fused
def _is_finite(tensor: Tensor) -> Tensor:
    return ops.all(ops.isfinite(tensor))


def to_device(array: NDArray[np.float32]) -> Array:
    """Bring an array to where it is computed on: a tensor on a GPU, the array itself without."""
    return array if on_processor() else keras.ops.convert_to_tensor(paged.whole(array))


def constant(value: ArrayLike) -> Tensor:
    """Return numbers as a float32 tensor; a tensor as it is."""
    if is_tensor(value):
        return value
    return keras.ops.convert_to_tensor(np.asarray(value, np.float32))


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


def known_shape(tensor: Tensor) -> Shape:
    """Return a tensor's sizes, NaN for those that a traced function leaves open.

    Whatever is reckoned from NaN is NaN: so that the shapes :func:`call_host` is told cost a graph
    nothing, where Keras's own would be operations of it.
    """
    return tuple(math.nan if size is None else size for size in tensor.shape)


def call_host(function: HostFunction, like: Like, *tensors: Tensor) -> Tensors:
    """Call a NumPy function of tensors in a compiled step, which returns an array or several.

    ``like`` are shapes, as :func:`known_shape` has them, and dtypes of what it returns.
    """

    def call(*arrays: Tensor) -> list[HostArray]:
        found = function(*(np.asarray(array) for array in arrays))
        return list(found) if isinstance(found, tuple) else [found]

    if name() == "tensorflow":
        import tensorflow as tf

        found = tf.numpy_function(call, tensors, [dtype for _, dtype in like], stateful=False)
        found = found if isinstance(found, list) else [found]
        return tuple(
            tf.ensure_shape(each, [size if isinstance(size, int) else None for size in shape])
            for each, (shape, _) in zip(found, like, strict=True)
        )
    if name() == "jax":
        import jax

        shapes = [jax.ShapeDtypeStruct(tuple(shape), dtype) for shape, dtype in like]
        return tuple(jax.pure_callback(call, shapes, *tensors))
    import torch

    given = (keras.ops.convert_to_tensor(each).detach() for each in tensors)
    return tuple(torch.from_numpy(each) for each in call(*given))


def differentiable(
    forward: Callable[[Tensor], tuple[Tensors, Tensors]],
    gradient: Callable[[Tensors, Tensor, Tensors], Tensor],
) -> Callable[[Tensor], Tensors]:
    """Return a function of one tensor to several that has a gradient of its own.

    forward(input) -> (results, kept) and gradient(upstream of every result, input, kept) ->
    tensor like the input.
    """
    if name() == "torch":
        return lambda value: _torch_function()(value, forward, gradient)

    @keras.ops.custom_gradient
    def function(value: Tensor) -> tuple[Tensors, Callable[..., Tensor]]:
        results, kept = forward(value)

        def backward(*upstream: Tensor | Tensors) -> Tensor:
            # JAX hands over one tuple, TensorFlow each by itself.
            given = upstream[0] if isinstance(upstream[0], tuple) else upstream
            return gradient(given, value, kept)

        return results, backward

    return lambda value: function(value)


@functools.cache
def _torch_function() -> Any:
    import torch

    class Differentiable(torch.autograd.Function):
        """Keras's own, for several results."""

        @staticmethod
        def forward(context: Any, value: Tensor, forward: Any, gradient: Any) -> Tensors:
            results, kept = forward(value)
            context.gradient = gradient
            # A result that its own gradient holds on to would never be freed.
            context.kept = tuple(each.detach() for each in kept)
            context.save_for_backward(value)
            return results

        @staticmethod
        def backward(context: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
            return context.gradient(upstream, *context.saved_tensors, context.kept), None, None

    return Differentiable.apply


def relu_gradient(upstream: Tensor, result: Tensor) -> Tensor:
    """Return ``upstream`` where a ReLU's result is positive, else zero."""
    if name() == "tensorflow":
        import tensorflow as tf

        return tf.raw_ops.ReluGrad(gradients=upstream, features=result)  # once over the memory
    return ops.where(result > 0, upstream, ops.zeros_like(upstream))


def dtype_of(tensor: Tensor) -> str:
    """Return the name of a tensor's dtype, such as float32."""
    return str(keras.backend.standardize_dtype(tensor.dtype))


def computed_on_host(dtype: str) -> bool:
    """Return whether convolutions of such tensors are computed in NumPy: float32, no GPU."""
    return dtype == "float32" and on_processor()


def gathered_on_host(dtype: str) -> bool:
    """Return whether what is read off such feature maps is computed in NumPy: no GPU.

    PyTorch hands over no bfloat16.
    """
    return on_processor() and (dtype == "float32" or name() != "torch")


@functools.cache
def on_processor() -> bool:
    """Return whether tensors are on a processor, and not on a GPU."""
    if name() == "tensorflow":
        import tensorflow as tf

        return not tf.config.list_physical_devices("GPU")
    if name() == "jax":
        import jax

        return bool(jax.default_backend() == "cpu")
    return bool(keras.ops.zeros(1, "float32").device.type == "cpu")
