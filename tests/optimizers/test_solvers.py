"""The optimizers on problems whose answer is known, and every way in which they end."""

import numpy as np
import pytest
from keras import ops

from impasto.errors import CheckpointError
from impasto.optimizers import solvers
from impasto.optimizers.solver import Reason

pytestmark = pytest.mark.backend

TARGET = np.random.default_rng(1).uniform(0, 255, (8, 9, 3)).astype(np.float32)
START = np.full((8, 9, 3), 128, np.float32)


def bowl(point):
    """A quadratic with its minimum of zero at TARGET, curved differently in every variable."""
    curvature = np.linspace(1, 30, point.size, dtype=np.float32).reshape(point.shape)
    difference = point - TARGET
    return float(np.mean(curvature * difference**2)), 2 * curvature * difference / point.size


def valley(point):
    """Rosenbrock's function of neighboring pairs of pixels, in units of 100."""
    x = point.astype(np.float64).ravel() / 100
    a, b = x[::2], x[1::2]
    gradient = np.zeros_like(x)
    gradient[::2] = -400 * a * (b - a**2) - 2 * (1 - a)
    gradient[1::2] = 200 * (b - a**2)
    value = np.sum(100 * (b - a**2) ** 2 + (1 - a) ** 2)
    return float(value), (gradient / 100).reshape(point.shape).astype(np.float32)


def carry_on(point, value):
    return None


@pytest.mark.parametrize("name", solvers.OPTIMIZERS)
def test_a_quadratic_is_minimized(name):
    solution = solvers.OPTIMIZERS[name](bowl, START, 300, carry_on)
    assert solution.value < 1e-3 * bowl(START)[0]
    assert bowl(solution.point)[0] == pytest.approx(solution.value, rel=1e-4)


@pytest.mark.parametrize("name", ["lbfgs", "scipy"])
def test_lbfgs_finds_the_bottom_of_a_curved_valley(name):
    solution = solvers.OPTIMIZERS[name](valley, START * 0, 500, carry_on)
    assert solution.value < 1e-3 * valley(START * 0)[0]


@pytest.mark.parametrize("name", ["lbfgs", "scipy"])
def test_lbfgs_wastes_no_first_line_search(name):
    """An unscaled first step of length one would hardly lower the loss in ten evaluations."""
    solution = solvers.OPTIMIZERS[name](bowl, START, 10, carry_on)
    assert solution.value < 0.2 * bowl(START)[0]


@pytest.mark.parametrize("function", [bowl, valley])
def test_lbfgs_needs_no_more_evaluations_than_scipy(function):
    """How many until a thousandth of the start's value; a fifth more is let pass."""

    def needed(optimizer):
        values = []
        goal = 1e-3 * function(START)[0]
        optimizer(function, START, 500, lambda p, v: values.append(v) or v > goal)
        assert values[-1] <= goal
        return len(values)

    assert needed(solvers.lbfgs) <= 1.2 * needed(solvers.scipy_lbfgs)


@pytest.mark.parametrize("name", ["lbfgs", "adam"])
def test_tensors_are_minimized_as_arrays_are(name):
    curvature = np.linspace(1, 30, START.size, dtype=np.float32).reshape(START.shape)

    def on_device(point):
        difference = point - ops.convert_to_tensor(TARGET)
        weighted = ops.convert_to_tensor(curvature) * difference
        return float(ops.mean(weighted * difference)), 2 * weighted / START.size

    tensor = solvers.OPTIMIZERS[name](on_device, ops.convert_to_tensor(START), 25, carry_on)
    array = solvers.OPTIMIZERS[name](bowl, START, 25, carry_on)
    assert ops.is_tensor(tensor.point)
    assert tensor.evaluations == array.evaluations
    assert tensor.value == pytest.approx(array.value, rel=1e-2)
    np.testing.assert_allclose(ops.convert_to_numpy(tensor.point), array.point, atol=0.5)


@pytest.mark.parametrize("name", solvers.OPTIMIZERS)
def test_the_budget_is_kept_exactly(name):
    points = []
    solution = solvers.OPTIMIZERS[name](valley, START, 7, lambda p, v: points.append(p.copy()))
    assert len(points) == solution.evaluations == 7
    assert solution.reason is Reason.BUDGET
    np.testing.assert_allclose(points[0], START, atol=1e-3)


@pytest.mark.parametrize("name", solvers.OPTIMIZERS)
def test_the_best_point_is_kept_when_the_listener_stops(name):
    seen = []

    def stop_after_three(point, value):
        seen.append((value, point.copy()))
        return len(seen) < 3

    solution = solvers.OPTIMIZERS[name](bowl, START, 50, stop_after_three)
    assert (solution.reason, solution.evaluations) == (Reason.STOPPED, 3)
    value, point = min(seen, key=lambda each: each[0])
    assert solution.value == value
    np.testing.assert_array_equal(solution.point, point)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", solvers.OPTIMIZERS)
def test_a_value_that_is_not_finite_goes_back_to_the_best_point(name, bad):
    calls = []

    def breaks_down(point):
        calls.append(point.copy())
        value, gradient = bowl(point)
        return (bad, gradient) if len(calls) == 4 else (value, gradient)

    solution = solvers.OPTIMIZERS[name](breaks_down, START, 50, carry_on)
    assert solution.reason is Reason.NOT_FINITE
    assert np.isfinite(solution.value)
    assert np.isfinite(solution.point).all()


@pytest.mark.parametrize("name", solvers.OPTIMIZERS)
def test_a_gradient_that_is_not_finite_at_the_start_gives_the_start_back(name):
    def broken(point):
        return 1.0, np.full_like(point, np.nan)

    solution = solvers.OPTIMIZERS[name](broken, START, 50, carry_on)
    assert (solution.reason, solution.evaluations) == (Reason.NOT_FINITE, 0)
    np.testing.assert_array_equal(solution.point, START)


def test_a_run_without_progress_ends_as_stalled():
    def hardly_falling(point):
        hardly_falling.calls += 1
        return 1.0 - 1e-7 * hardly_falling.calls, np.ones_like(point)

    hardly_falling.calls = 0
    solution = solvers.adam(hardly_falling, START, 500, carry_on)
    assert solution.reason is Reason.STALLED
    assert solution.evaluations < 100


def test_a_minimum_reached_ends_as_converged():
    solution = solvers.lbfgs(lambda p: (0.0, np.zeros_like(p)), START, 50, carry_on)
    assert solution.reason is Reason.CONVERGED
    assert solution.evaluations < 5


# Going on ------------------------------------------------------------------------------------


def states_of(name, function, start=START, budget=25):
    """The solution, every point that was evaluated, and every state offered under way."""
    points, offered = [], []
    solution = solvers.OPTIMIZERS[name](
        function, start, budget, lambda p, v: points.append(bytes_of(p)), None, offered.append
    )
    return solution, points, [state() for state in offered]  # called late: they must not change


def bytes_of(point):
    return ops.convert_to_numpy(point).tobytes()


@pytest.mark.parametrize("where", [np.asarray, ops.convert_to_tensor])
@pytest.mark.parametrize("function", [bowl, valley])
@pytest.mark.parametrize("name", ["lbfgs", "adam"])
def test_from_every_state_the_later_points_are_the_same_to_the_last_bit(name, function, where):
    def anywhere(point):
        value, gradient = function(ops.convert_to_numpy(point))
        return value, where(gradient)

    whole, points, states = states_of(name, anywhere, where(START))
    assert len(states) > 15
    for state in states:
        again = []
        solution = solvers.OPTIMIZERS[name](
            anywhere, where(START), 25, lambda p, v, seen=again: seen.append(bytes_of(p)), state
        )
        assert again == points[len(state["bests"]) :]
        assert bytes_of(solution.point) == bytes_of(whole.point)
        assert type(solution.point) is type(whole.point)
        assert (solution.value, solution.evaluations, solution.reason) == (
            whole.value,
            whole.evaluations,
            whole.reason,
        )


@pytest.mark.parametrize("name", ["lbfgs", "adam"])
def test_a_run_that_stalls_does_so_at_the_same_evaluation_when_gone_on_with(name):
    def hardly_falling(point):
        return 1.0 + 1e-7 * bowl(point)[0], bowl(point)[1] * 1e-7

    whole, _, states = states_of(name, hardly_falling, budget=500)
    assert whole.reason is Reason.STALLED
    for state in states:
        again = solvers.OPTIMIZERS[name](hardly_falling, START, 500, carry_on, state)
        assert (again.reason, again.evaluations) == (whole.reason, whole.evaluations)


def test_scipy_offers_no_state_and_takes_none(one_line):
    _, _, states = states_of("scipy", bowl)
    assert states == []
    with pytest.raises(CheckpointError) as caught:
        solvers.scipy_lbfgs(bowl, START, 5, carry_on, {})
    assert "SciPy" in one_line(caught)


FORGERIES = {
    "another shape": lambda state, name: {name: np.append(state[name], state[name][:1], 0)},
    "another dtype": lambda state, name: {name: np.zeros(state[name].shape, np.int16)},
    "another rank": lambda state, name: {name: state[name][None]},
    "not finite": lambda state, name: {name: state[name] * np.float32(np.nan)},
    "a stranger": lambda state, name: {name + "x": state[name]},
}


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("name", ["lbfgs", "adam"])
def test_a_forged_state_is_refused_whichever_array_it_is(name, forgery, one_line):
    state = states_of(name, bowl)[2][5]
    for array in state:
        if forgery == "not finite" and state[array].dtype.kind != "f":
            continue
        if forgery == "another shape" and not state[array].ndim:
            continue
        forged = {**state, **FORGERIES[forgery](state, array)}
        with pytest.raises(CheckpointError) as caught:
            solvers.OPTIMIZERS[name](bowl, START, 25, carry_on, forged)
        one_line(caught)
    missing = {array: state[array] for array in list(state)[1:]}
    with pytest.raises(CheckpointError):
        solvers.OPTIMIZERS[name](bowl, START, 25, carry_on, missing)


@pytest.mark.parametrize(
    "forged",
    [
        {"bests": np.array([1.0, 2.0])},
        {"bests": np.zeros(26)},
        {"bests": np.zeros(0)},
        {"value": np.zeros(2)},
        {"curvatures": np.zeros(3)},
        {"curvatures": np.ones(2)},
        {"change 0": START * 0},
    ],
)
def test_a_state_that_could_not_have_come_about_is_refused(forged):
    state = states_of("lbfgs", bowl)[2][3]
    assert len(state["curvatures"]) == 3
    with pytest.raises(CheckpointError):
        solvers.lbfgs(bowl, START, 25, carry_on, {**state, **forged})


def test_the_unit_of_a_frequency_falls_with_its_height():
    units = solvers.frequency_units(6, 8)[..., 0]
    assert units[0, 0] == solvers.STEP
    assert (np.diff(units, axis=0) < 0).all()
    assert (np.diff(units, axis=1) < 0).all()
