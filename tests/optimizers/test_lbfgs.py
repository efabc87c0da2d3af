"""L-BFGS on problems whose answer is known, in the variables themselves."""

import dataclasses

import numpy as np
import pytest

from impasto.compute.arrays import to_numpy
from impasto.compute.keras_backend import ops
from impasto.optimizers import lbfgs
from impasto.optimizers.solver import StopReason
from tests.optimizers.problems import PLAIN, Evaluated

DEFAULT = lbfgs.Lbfgs()
CURVATURE = np.array([1.0, 5.0, 20.0, 100.0])


def bowl(point):
    return Evaluated(float(np.sum(CURVATURE * point**2) / 2), CURVATURE * point)


def valley(point):
    """Rosenbrock 1960: its minimum of zero at (1, 1) lies in a narrow, curved valley."""
    a, b = point
    gradient = np.array([-400 * a * (b - a**2) - 2 * (1 - a), 200 * (b - a**2)])
    return Evaluated(float(100 * (b - a**2) ** 2 + (1 - a) ** 2), gradient)


def begun(start, budget=1000):
    return PLAIN.begin(np.asarray(start, float), budget)


def run(function, start, evaluations):
    """The state after so many evaluations, or at the end if that comes before."""
    state = begun(start)
    for _ in range(evaluations):
        if state.progress.reason is not None:
            break
        state = PLAIN.step(function, state)
    return state


def test_a_quadratic_is_minimized_to_the_last_digit():
    assert run(bowl, [1, -2, 3, -4], 70).iterate.value < 1e-20


def test_the_classic_start_of_rosenbrock_ends_at_one_one():
    np.testing.assert_allclose(run(valley, [-1.2, 1.0], 150).iterate.variables, [1, 1], atol=1e-6)


def test_every_point_that_is_accepted_is_lower_than_the_one_before():
    state = begun([-1.2, 1.0])
    values = []
    for _ in range(40):
        state = PLAIN.step(valley, state)
        values.append(state.iterate.value)
    assert (np.diff(values) <= 0).all()
    assert values[-1] < 1e-3 * values[0]


def test_the_first_step_has_length_one():
    state = run(bowl, [100.0, 100.0, 100.0, 100.0], 1)
    assert np.linalg.norm(state.line_search.variables - 100) == pytest.approx(1)


def test_the_direction_is_newtons_where_the_pairs_span_the_space():
    """With a step along every axis two loops give the exact inverse Hessian's product."""
    pairs = tuple(
        lbfgs.CurvaturePair(axis, CURVATURE * axis, lbfgs.dot(axis, CURVATURE * axis))
        for axis in np.eye(4)
    )
    way = lbfgs.two_loop_direction(bowl(np.ones(4)).gradient, pairs)
    np.testing.assert_allclose(way, -np.ones(4))


@pytest.mark.backend
@pytest.mark.parametrize("count", [0, 1, 3, lbfgs.HISTORY])
def test_the_direction_on_a_device_is_that_of_arrays(count):
    rng = np.random.default_rng(count)

    def random():
        return rng.standard_normal((4, 5, 3)).astype(np.float32)

    def pair():
        step = random()
        change = step * CURVATURE[:, None, None].astype(np.float32) + random() / 10
        return lbfgs.CurvaturePair(step, change, lbfgs.dot(step, change))

    def on_device(pair):
        step, change = map(ops.convert_to_tensor, (pair.step, pair.change))
        return dataclasses.replace(pair, step=step, change=change)

    gradient, pairs = random(), tuple(pair() for _ in range(count))
    expected = lbfgs.two_loop_direction(gradient, pairs)
    way = lbfgs.two_loop_direction(ops.convert_to_tensor(gradient), tuple(map(on_device, pairs)))
    np.testing.assert_allclose(to_numpy(way), expected, rtol=1e-3, atol=1e-4)


def test_a_run_goes_on_from_its_state_as_if_it_had_not_stopped():
    whole = run(valley, [-1.2, 1.0], 30)
    half = run(valley, [-1.2, 1.0], 9)
    kept = dataclasses.replace(half)
    for _ in range(21):
        half = PLAIN.step(valley, half)
    np.testing.assert_array_equal(half.line_search.variables, whole.line_search.variables)
    assert len(whole.pairs) == lbfgs.HISTORY
    assert kept.progress.evaluations == 9


def test_a_step_that_is_too_long_is_shortened():
    tries = []

    def steep(point):
        tries.append(float(point[0]))
        return Evaluated(float(point[0] ** 4), 4 * point**3)

    state = begun([0.5])
    while state.iterate is None or state.iterate.variables[0] == 0.5:
        state = PLAIN.step(steep, state)
    assert len(tries) > 2
    assert 0 <= abs(state.iterate.variables[0]) < 0.5


def test_a_step_without_curvature_is_not_remembered():
    def slope(point):
        return Evaluated(float(point.sum()), np.ones(2))

    assert run(slope, [0.0, 0.0], 4).pairs == ()


def test_pairs_that_mislead_are_forgotten_before_giving_up():
    wrong = lbfgs.CurvaturePair(np.ones(4), -np.ones(4), 1e-3)
    state = dataclasses.replace(begun(np.ones(4)), pairs=(wrong,))
    state = PLAIN.step(bowl, state)
    for _ in range(20):
        state = PLAIN.step(bowl, state)
    assert state.iterate.value < bowl(np.ones(4)).total


def test_there_is_no_step_from_a_minimum():
    state = PLAIN.step(bowl, begun(np.zeros(4)))
    assert (state.progress.reason, state.line_search) == (StopReason.CONVERGED, None)


def test_a_gradient_that_lies_is_given_up():
    def uphill(point):
        return Evaluated(float(point @ point), -2 * point)

    state = run(uphill, np.ones(2), 40)
    assert state.progress.reason is StopReason.STALLED
    assert state.progress.evaluations <= lbfgs.MAX_BACKTRACKS + 1


def test_another_function_is_lowered_with_what_was_learned():
    """Of the same curvature, with its minimum elsewhere."""

    def moved(point):
        return bowl(point - 2)

    learned = PLAIN.rebind(run(bowl, [1, -2, 3, -4], 30), 1000)
    assert learned.pairs
    assert learned.progress.evaluations == 30
    values = []
    for state in (learned, begun(learned.start)):
        for _ in range(8):
            state = PLAIN.step(moved, state)
        values.append(state.iterate.value)
    assert values[0] < values[1]


# From one size to the next --------------------------------------------------------------------


def picture_bowl(height, width, spread=1.0):
    """A quadratic of pictures that does not grow with them: a mean, with its minimum at a wave.

    It is curved ``spread`` times as much below as above.
    """
    rows, columns = np.linspace(0, 3, height)[:, None, None], np.linspace(0, 2, width)[:, None]
    target = 128 + 60 * np.sin(rows) * np.cos(columns) * np.array([1.0, 0.8, -0.5])
    curvature = np.geomspace(1, spread, height)[:, None, None]

    def function(point):
        difference = point - target
        value = float(np.mean(curvature * difference**2))
        return Evaluated(value, 2 * curvature * difference / point.size)

    return function, np.full(target.shape, 128.0)


def level(size, spread, learned=0.0):
    """Every state of a run until a thousandth of the first value."""
    function, start = picture_bowl(*size, spread)
    found = [PLAIN.begin(start, 200, learned)]
    first = function(start).total
    while found[-1].iterate is None or found[-1].iterate.value > 1e-3 * first:
        found.append(PLAIN.step(function, found[-1]))
        assert len(found) < 200
    return found


def test_the_first_step_goes_as_far_as_what_was_learned_says():
    start = np.full((6, 8, 3), 100.0)
    function, _ = picture_bowl(6, 8)
    for learned in (1e-4, 0.02):
        state = DEFAULT.step(function, DEFAULT.begin(start, 10, learned))
        step = state.line_search.variables - state.iterate.variables
        expected = -learned * start.size * state.iterate.gradient
        np.testing.assert_allclose(step, expected, rtol=1e-6, atol=1e-12 * np.abs(expected).max())
    unknown = DEFAULT.step(function, DEFAULT.begin(start, 10))
    assert np.linalg.norm(
        unknown.line_search.variables - unknown.iterate.variables
    ) == pytest.approx(1)


def test_what_is_learned_is_the_inverse_curvature_by_number_of_variables():
    """Of a bowl that is curved alike everywhere it is exact, and one step ends at the minimum."""

    def even(point):
        return Evaluated(float(4 * np.sum((point - 3) ** 2) / 2), 4 * (point - 3))

    state = run(even, np.zeros(5), 2)
    assert len(state.pairs) == 1
    assert PLAIN.curvature_scale(state) == pytest.approx(1 / 4 / 5)
    other = PLAIN.begin(np.full(5, 9.0), 10, PLAIN.curvature_scale(state))
    other = PLAIN.step(even, other)
    np.testing.assert_allclose(other.line_search.variables, 3)


def test_nothing_is_learned_before_there_is_a_pair_of_steps():
    start = begun(np.ones(4))
    assert PLAIN.curvature_scale(start) == 0
    assert PLAIN.curvature_scale(PLAIN.step(bowl, start)) == 0
    assert DEFAULT.curvature_scale(run(bowl, np.ones(4), 5)) > 0


@pytest.mark.parametrize("spread", [1, 4, 30])
def test_a_larger_size_begins_with_a_longer_step_and_needs_no_more_evaluations(spread):
    small, large = (12, 16), (24, 32)
    learned = PLAIN.curvature_scale(level(small, spread)[-1])
    assert learned > 0
    without, with_scale = level(large, spread), level(large, spread, learned)
    lengths = [
        np.linalg.norm(states[1].line_search.variables - states[1].iterate.variables)
        for states in (without, with_scale)
    ]
    assert lengths[0] == pytest.approx(1)
    assert lengths[1] > 100 * lengths[0]
    assert with_scale[2].progress.lowest[-1] < without[2].progress.lowest[-1]
    assert len(with_scale) <= len(without)


def test_a_first_step_that_learned_too_much_is_shortened():
    state = PLAIN.begin(np.full(4, 5.0), 50, 1e6)
    while state.iterate is None or state.iterate.value == bowl(np.full(4, 5.0)).total:
        state = PLAIN.step(bowl, state)
    assert state.iterate.value < bowl(np.full(4, 5.0)).total


def test_another_function_at_the_same_size_begins_with_what_was_learned_of_it_alone():
    """Pairs stay when the function is turned; a step that another size taught does not return."""
    function, start = picture_bowl(6, 8)
    state = DEFAULT.step(function, DEFAULT.begin(start, 20, 0.02))
    turned = PLAIN.rebind(state, 20)
    assert turned.curvature_scale == 0
    again = PLAIN.step(function, turned)
    assert np.linalg.norm(again.line_search.variables - again.iterate.variables) == pytest.approx(1)
