"""The compiled kernels against their definitions in NumPy, with every instruction set there is."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.compute import threads
from impasto.compute.native import kernels
from impasto.compute.native.kernels import Kernels
from tests import tiny

pytestmark = tiny.needs_kernels

ERROR = 3e-5
"""Largest error of F(6 x 6) relative to the largest value."""

WAYS = {
    "tiles of 4, stage by stage": {
        "MIN_POSITIONS_6": 10**9,
        "FEW_BLOCKS": 10**9,
        "STAGED_TILES": 5,
    },
    "tiles of 4 in blocks": {"MIN_POSITIONS_6": 10**9, "FEW_BLOCKS": 0},
    "tiles of 6, stage by stage": {"MIN_POSITIONS_6": 0, "MAX_CACHED_NUMBERS": 0},
    "tiles of 6 in blocks": {"MIN_POSITIONS_6": 0, "FEW_BLOCKS": 0},
}


@pytest.fixture(scope="module", params=kernels.instruction_sets())
def native(request):
    return Kernels.load(request.param)


@pytest.fixture(scope="module", params=list(WAYS.values()), ids=list(WAYS))
def way(request):
    """Each way to convolve, whatever the size; threads share the smallest work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "ONE_THREAD_COST", 0)
        for name, value in request.param.items():
            patch.setattr(kernels, name, value)
        yield


def random(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def convolution(features, kernel, replicate):
    """The definition, in float64, without bias and ReLU."""
    height, width, _ = features.shape
    border = ((1, 1), (1, 1), (0, 0))
    padded = np.pad(np.float64(features), border, mode="edge" if replicate else "constant")
    return sum(
        padded[i : i + height, j : j + width] @ np.float64(kernel[i, j])
        for i, j in np.ndindex(3, 3)
    )


def flipped(native, kernel):
    return native.prepare(np.flip(kernel, (0, 1)).swapaxes(2, 3))


def assert_near(result, expected, error=ERROR):
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= error * max(1.0, np.abs(expected).max())


sizes, channels = st.integers(1, 15), st.integers(1, 35)


@given(sizes, sizes, channels, channels, st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_layer_is_convolution_bias_and_relu(native, way, height, width, a, b, replicate, seed):
    features, kernel, bias = random(seed, height, width, a), random(seed, 3, 3, a, b), random(1, b)
    result = native.convolve(features, native.prepare(kernel), bias, replicate)
    assert_near(result, np.maximum(convolution(features, kernel, replicate) + bias, 0))


@given(sizes, sizes, channels, channels, st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_gradient_is_the_adjoint(native, way, height, width, a, b, replicate, seed):
    """<conv(x), g> = <x, convᵀ(g)> for each x, where g counts where the output is positive."""
    kernel, upstream = random(seed, 3, 3, a, b), random(1, height, width, b)
    output = np.maximum(random(2, height, width, b), 0)
    gradient = native.convolve_gradient(upstream, output, flipped(native, kernel), replicate)
    assert_near(gradient, adjoint(upstream * (output > 0), kernel, replicate))


def adjoint(upstream, kernel, replicate):
    """The transposed map of :func:`convolution`, tap by tap."""
    height, width, _ = upstream.shape
    rows, columns = np.arange(height), np.arange(width)
    result = np.zeros((height + 2, width + 2, kernel.shape[2]))
    for i, j in np.ndindex(3, 3):
        result[i : i + height, j : j + width] += np.float64(upstream) @ np.float64(kernel[i, j]).T
    if not replicate:
        return result[1:-1, 1:-1]
    folded = np.zeros((height, width, kernel.shape[2]))
    rows, columns = (np.clip(np.arange(-1, size + 1), 0, size - 1) for size in (height, width))
    np.add.at(folded, (rows[:, None], columns[None]), result)
    return folded


@pytest.mark.parametrize("replicate", [False, True])
def test_the_oracles_agree(replicate):
    features, upstream, kernel = random(0, 5, 3, 4), random(1, 5, 3, 6), random(2, 3, 3, 4, 6)
    left = np.vdot(convolution(features, kernel, replicate), upstream)
    assert left == pytest.approx(np.vdot(features, adjoint(upstream, kernel, replicate)))


@pytest.mark.parametrize("shape", [(41, 39, 64, 64), (40, 47, 3, 64), (39, 41, 64, 3)])
@pytest.mark.parametrize("replicate", [False, True])
def test_the_usual_sizes_as_they_are(native, shape, replicate):
    """Without changed limits: a first layer, one of many tiles, and one to few channels."""
    height, width, a, b = shape
    features, kernel = random(0, height, width, a), random(1, 3, 3, a, b)
    output = native.convolve(features, native.prepare(kernel), np.zeros(b, np.float32), replicate)
    assert_near(output, np.maximum(convolution(features, kernel, replicate), 0))
    upstream = random(2, height, width, b)
    gradient = native.convolve_gradient(upstream, output, flipped(native, kernel), replicate)
    assert_near(gradient, adjoint(upstream * (output > 0), kernel, replicate))


def everything(native):
    """Results of all functions, on maps that have several pieces of work."""
    features, kernel, bias = random(0, 37, 41, 19), random(1, 3, 3, 19, 21), random(2, 21)
    output = native.convolve(features, native.prepare(kernel), bias, True)
    pooled = native.max_pool(output)
    gradient = native.max_pool_gradient(random(3, *pooled.shape), output, pooled)
    native.add_block_mean_gradient(native.block_mean(output, 3), 3, gradient)
    query, directions = random(4, 500, 70), random(5, 90, 70)
    picture, first = random(6, 37, 41, 3), random(7, 3, 3, 3, 21)
    return (
        *(output, gradient, native.block_mean(output, 2)),
        native.convolve_gradient(gradient, output, flipped(native, kernel), True),
        native.convolve(picture, native.prepare(first), bias, True),
        native.convolve_gradient(gradient, output, flipped(native, first), True),
        *native.search(query, native.prepare_index(directions), random(8, 90)),
    )


def test_any_number_of_threads_gives_the_same_bytes(native, way):
    one, two, three = (
        everything(Kernels.load(native.instruction_set, threads)) for threads in (1, 2, 3)
    )
    for results in zip(one, two, three, strict=True):
        assert len({result.tobytes() for result in results}) == 1


def test_calls_from_busy_threads_do_not_wait_for_each_other(native, monkeypatch):
    monkeypatch.setattr(kernels, "ONE_THREAD_COST", 0)
    shared = Kernels.load(native.instruction_set, 2)
    results: list[bytes] = []

    def call(*_: object) -> None:
        results.append(shared.max_pool(random(0, 64, 64, 4)).tobytes())

    with ThreadPoolExecutor(4) as pool:
        outer = [pool.submit(shared.run_items, 8, 1.0, call) for _ in range(4)]
        for each in outer:
            each.result(timeout=60)
    assert len(results) >= 8
    assert len(set(results)) == 1


def test_each_item_is_done_once():
    done: list[int] = []
    Kernels.load(threads=3).run_items(101, 1e9, lambda begin, end: done.extend(range(begin, end)))
    assert sorted(done) == list(range(101))


def views(array):
    """The same values in other layouts: rows farther apart, columns too, reversed, transposed."""
    height, width, channels = array.shape
    wide = np.zeros((height, width + 3, channels), np.float32)
    wide[:, 1 : width + 1] = array
    sparse = np.zeros((2 * height, 2 * width, channels), np.float32)
    sparse[::2, ::2] = array
    return (
        wide[:, 1 : width + 1],
        sparse[::2, ::2],
        np.ascontiguousarray(array[::-1])[::-1],
        np.asfortranarray(array),
    )


def test_any_layout_gives_the_same_bytes(native):
    features, kernel, bias = random(0, 14, 13, 18), random(1, 3, 3, 18, 9), random(2, 9)
    prepared, upstream = native.prepare(kernel), random(3, 14, 13, 9)
    output = native.convolve(features, prepared, bias, True)
    gradient = native.convolve_gradient(upstream, output, flipped(native, kernel), True)
    pooled = native.max_pool(features)
    unpooled = native.max_pool_gradient(pooled, features, pooled)
    for view in views(features):
        assert native.convolve(view, prepared, bias, True).tobytes() == output.tobytes()
        assert native.max_pool(view).tobytes() == pooled.tobytes()
        assert native.block_mean(view, 3).tobytes() == native.block_mean(features, 3).tobytes()
        for small in views(pooled):
            assert native.max_pool_gradient(small, view, small).tobytes() == unpooled.tobytes()
    for one in views(upstream):
        for other in views(output):
            result = native.convolve_gradient(one, other, flipped(native, kernel), True)
            assert result.tobytes() == gradient.tobytes()
    assert (
        native.prepare(np.asfortranarray(kernel)).form("4").tobytes()
        == prepared.form("4").tobytes()
    )
    query, index = random(4, 30, 7), native.prepare_index(random(5, 20, 7))
    for layout in (np.asfortranarray(query), np.pad(query, ((0, 0), (0, 2)))[:, :7]):
        assert np.array_equal(native.search(layout, index)[0], native.search(query, index)[0])


def test_nan_spreads_to_its_neighbors_and_not_beyond_their_tiles(native, way):
    features, kernel = np.ones((30, 30, 5), np.float32), random(0, 3, 3, 5, 6)
    features[2, 3, 1] = np.nan
    result = native.convolve(features, native.prepare(kernel), np.ones(6, np.float32), True)
    assert np.isnan(result[1:4, 2:5]).all()
    assert np.isfinite(result[13:, 13:]).all()
    upstream = np.ones_like(result)
    upstream[2, 3, 1] = np.nan
    turned = flipped(native, kernel)
    gradient = native.convolve_gradient(upstream, np.ones_like(result), turned, False)
    assert np.isnan(gradient[1:4, 2:5]).all()
    assert np.isfinite(gradient[13:, 13:]).all()


def test_nan_in_pooling_and_search(native):
    features = np.ones((4, 4, 3), np.float32)
    features[0, 1, 2] = features[3, 2, 0] = np.nan
    pooled = native.max_pool(features)
    assert np.array_equal(
        pooled, np.stack([[[1, 1, np.nan], [1] * 3], [[1] * 3, [np.nan, 1, 1]]]), equal_nan=True
    )
    gradient = native.max_pool_gradient(np.ones_like(pooled), features, pooled)
    assert np.isfinite(gradient).all()
    assert gradient[0, 1, 2] == 0
    query, directions = random(0, 5, 8), random(1, 40, 8)
    query[1], directions[7] = np.nan, np.nan
    found, value = native.search(query, native.prepare_index(directions))
    products = query @ directions.T
    products[:, 7] = -np.inf
    expected = products[[0, 2, 3, 4]].argmax(1)
    assert np.array_equal(found[[0, 2, 3, 4]], expected)
    assert (found[1], value[1]) == (0, -np.inf)


@given(sizes, sizes, channels, st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_maximum_pooling_and_its_gradient(native, height, width, count, seed):
    """Whole numbers have many equal maxima, which share alike."""
    features = np.round(random(seed, height, width, count))
    rows, columns = height // 2, width // 2
    windows = features[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, count)
    pooled = native.max_pool(features)
    assert np.array_equal(pooled, windows.max(axis=(1, 3)))
    upstream = random(1, *pooled.shape)
    largest = windows == windows.max(axis=(1, 3), keepdims=True)
    shares = largest / largest.sum(axis=(1, 3), keepdims=True).astype(np.float32)
    expected = np.zeros_like(features)
    expected[: 2 * rows, : 2 * columns] = (upstream[:, None, :, None] * shares).reshape(
        2 * rows, 2 * columns, count
    )
    result = native.max_pool_gradient(upstream, features, pooled)
    np.testing.assert_allclose(result, expected, rtol=1e-6)


@given(sizes, sizes, channels, st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_means_of_blocks_and_their_gradient(native, height, width, count, size, seed):
    features = random(seed, height, width, count)
    down, across = height // size, width // size
    blocks = features[: down * size, : across * size].reshape(down, size, across, size, count)
    means = native.block_mean(features, size)
    assert means.shape == (down, across, count)
    np.testing.assert_allclose(means, blocks.mean((1, 3)), rtol=1e-4, atol=1e-6)
    upstream, start = random(1, *means.shape), random(2, height, width + 2, count)
    gradient = start.copy()
    inside = gradient[:, 1 : width + 1]  # a view whose rows are farther apart
    native.add_block_mean_gradient(upstream, size, inside)
    expected = start.copy()
    spread = upstream.repeat(size, 0).repeat(size, 1) / size**2
    expected[: down * size, 1 : across * size + 1] += spread
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


@given(
    st.integers(1, 230),
    st.integers(1, 90),
    st.sampled_from([1, 7, 64, 600]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=20, deadline=None)
def test_the_nearest_has_the_largest_product(native, queries, count, depth, taken, seed):
    """Small whole numbers multiply exactly, and many products are equal: the first is found."""
    whole = np.random.default_rng(seed).integers(-2, 3, size=(queries + count, depth))
    query, directions = np.split(whole.astype(np.float32), [queries])
    penalty = np.round(random(seed, count)) if taken else None
    found, value = native.search(query, native.prepare_index(directions), penalty)
    products = query @ directions.T - (penalty if taken else np.float32(0))
    assert found.dtype == np.int32
    assert np.array_equal(found, products.argmax(1))
    assert np.array_equal(value, products.max(1))


def test_instruction_sets_differ_in_the_last_bits_alone():
    results = [everything(Kernels.load(name)) for name in kernels.instruction_sets()]
    for first, *others in zip(*results, strict=True):
        for other in others:
            np.testing.assert_allclose(other, first, rtol=0, atol=1e-4 * np.abs(first).max())


A = np.zeros((4, 5, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda native, kernel: native.convolve(np.float64(A), kernel, A[0, 0], True), "float32"),
        (lambda native, kernel: native.convolve(A[0], kernel, A[0, 0], True), "3"),
        (lambda native, kernel: native.convolve(A[:0], kernel, A[0, 0], True), "empty"),
        (lambda native, kernel: native.convolve(A[..., :2], kernel, A[0, 0], True), r"width, 3\)"),
        (lambda native, kernel: native.convolve(A, kernel, A[0, 0, :2], True), r"use \(3\)"),
        (lambda native, kernel: native.convolve_gradient(A, A[1:], kernel, True), "output"),
        (lambda native, kernel: native.prepare(np.zeros((3, 2, 1, 1), np.float32)), r"\(3, 3,"),
        (lambda native, kernel: native.max_pool_gradient(A, A, A), "upstream"),
        (lambda native, kernel: native.block_mean(A, 0), "size"),
        (lambda native, kernel: native.add_block_mean_gradient(A, 2, A), "upstream"),
        (lambda native, kernel: native.add_block_mean_gradient(A, 1, A[:, ::2]), "contiguous"),
        (lambda native, kernel: native.search(A[0], native.prepare_index(A[0, :, :2])), "query"),
        (
            lambda native, kernel: native.search(A[0], native.prepare_index(A[0]), A[0, 0]),
            "penalty",
        ),
    ],
)
def test_what_does_not_fit_is_refused(native, call, said):
    kernel = native.prepare(np.zeros((3, 3, 3, 3), np.float32))
    with pytest.raises(ValueError, match=said) as caught:
        call(native, kernel)
    assert "\n" not in str(caught.value)


def test_what_was_prepared_for_another_instruction_set_is_refused():
    first, *others = (Kernels.load(name) for name in kernels.instruction_sets())
    for other in others:
        with pytest.raises(ValueError, match=first.instruction_set):
            other.convolve(A, first.prepare(np.zeros((3, 3, 3, 3), np.float32)), A[0, 0], True)
        with pytest.raises(ValueError, match=first.instruction_set):
            other.search(A[0], first.prepare_index(A[0]))


def test_the_best_instruction_set_is_chosen_unless_one_is_named():
    *_, best = kernels.instruction_sets()
    assert Kernels.load() == Kernels(best, threads.core_count())
    with pytest.raises(ValueError, match=best):
        Kernels.load("mmx")
    with pytest.raises(ValueError, match="threads"):
        Kernels.load(threads=0)


def test_the_latest_prepared_form_is_kept_and_cannot_be_written(native):
    kernel = native.prepare(random(0, 3, 3, 5, 6))
    four = kernel.form("4")
    assert kernel.form("4") is four
    assert kernel.form("6").shape[0] == 64
    assert kernel.form("4") is not four
    assert kernel.channels == (5, 6)
    with pytest.raises(ValueError, match="read-only"):
        kernel.form("4")[0] = 0


def test_without_the_extension_nothing_is_available(monkeypatch):
    monkeypatch.setattr(kernels.importlib.util, "find_spec", lambda name: None)
    kernels._library.cache_clear()
    try:
        assert not kernels.kernels_available()
        assert kernels.instruction_sets() == ()
        with pytest.raises(ImportError, match="compiler"):
            Kernels.load()
    finally:
        kernels._library.cache_clear()


def test_no_tensor_library_is_imported():
    code = "import sys, impasto.compute.native.kernels as k; k.Kernels.load(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"keras", "tensorflow", "torch", "jax"} & set(done.stdout.split())


SOURCES = Path(kernels.__file__).parent
FUZZER = Path(__file__).with_name("fuzz_kernels.c")
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.mark.slow
@pytest.mark.skipif(not (SOURCES / "kernels.c").exists(), reason="installed without sources")
def test_sanitizers_find_nothing(tmp_path):
    """All entry points at odd sizes, on arrays that end where their values end."""
    compiler, program = shutil.which("gcc") or shutil.which("clang"), tmp_path / "fuzz"
    if compiler is None:
        pytest.skip("there is no GCC or Clang")
    trial = tmp_path / "trial.c"
    trial.write_text("int main(void) { return 0; }\n")
    if subprocess.run([compiler, *SANITIZED, trial, "-o", program], capture_output=True).returncode:
        pytest.skip("this compiler has no sanitizers")
    command = [compiler, *SANITIZED, "-ffp-contract=fast", f"-I{SOURCES}", FUZZER]
    subprocess.run([*command, "-lm", "-o", program], check=True)
    done = subprocess.run([program, "7", "1000"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 10_000
