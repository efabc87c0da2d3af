"""The solvers on problems whose answer is known, and every way in which they end."""

import gc
import threading

import numpy as np
import pytest
from keras import ops

from impasto.errors import CheckpointError
from impasto.optimizers import parametrization
from impasto.optimizers.lbfgs import Lbfgs
from impasto.optimizers.registry import SOLVERS
from impasto.optimizers.solver import StopReason
from tests.combinations import product
from tests.optimizers.problems import START, TARGET, Evaluated, bowl, run, states, valley

pytestmark = pytest.mark.backend


@pytest.mark.parametrize("name", SOLVERS)
def test_a_quadratic_is_minimized(name):
    progress = run(name, bowl, budget=300)
    assert progress.lowest[-1] < 1e-3 * bowl(START).total
    assert bowl(progress.best).total == pytest.approx(progress.lowest[-1], rel=1e-4)


@pytest.mark.parametrize("name", ["lbfgs", "scipy"])
def test_lbfgs_finds_the_bottom_of_a_curved_valley(name):
    assert run(name, valley, START * 0, 500).lowest[-1] < 1e-3 * valley(START * 0).total


@pytest.mark.parametrize("name", ["lbfgs", "scipy"])
def test_lbfgs_wastes_no_first_line_search(name):
    """An unscaled first step of length one would hardly lower the loss in ten evaluations."""
    assert run(name, bowl, budget=10).lowest[-1] < 0.2 * bowl(START).total


@pytest.mark.parametrize("function", [bowl, valley])
def test_lbfgs_needs_no_more_evaluations_than_scipy(function):
    """How many until a thousandth of the start's value, both over pixels; a fifth more may pass."""

    def needed(name, state=None):
        lowest = np.array(run(name, function, budget=500, state=state).lowest)
        reached = lowest <= 1e-3 * function(START).total
        assert reached.any()
        return int(reached.argmax()) + 1

    over_pixels = Lbfgs(lambda start, exponent: parametrization.PIXELS).begin(START, 500)
    assert needed("lbfgs", over_pixels) <= 1.2 * needed("scipy")


@pytest.mark.parametrize("name", ["lbfgs", "adam"])
def test_tensors_are_minimized_as_arrays_are(name):
    curvature = np.linspace(1, 30, START.size, dtype=np.float32).reshape(START.shape)

    def on_device(point):
        difference = point - ops.convert_to_tensor(TARGET)
        weighted = ops.convert_to_tensor(curvature) * difference
        return Evaluated(float(ops.mean(weighted * difference)), 2 * weighted / START.size)

    tensor = run(name, on_device, ops.convert_to_tensor(START))
    array = run(name, bowl)
    assert ops.is_tensor(tensor.best)
    assert tensor.evaluations == array.evaluations
    assert tensor.lowest[-1] == pytest.approx(array.lowest[-1], rel=1e-2)
    np.testing.assert_allclose(ops.convert_to_numpy(tensor.best), array.best, atol=0.5)


@pytest.mark.parametrize("name", SOLVERS)
def test_the_budget_is_kept_exactly_and_every_step_is_one_evaluation(name):
    points = []

    def function(point):
        points.append(np.array(point))
        return valley(point)

    found = states(name, function, budget=7)
    assert [each.progress.evaluations for each in found] == list(range(8))
    assert len(points) == 7
    assert found[-1].progress.reason is StopReason.BUDGET
    np.testing.assert_allclose(points[0], START, atol=1e-3)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ("memory ran out: went on from the best picture at a smaller size", StopReason.MEMORY),
        ("a value was not finite: went back to the best picture", StopReason.NOT_FINITE),
    ],
)
def test_reasons_in_older_checkpoints_are_read(stored, reason):
    assert StopReason(stored) is reason
    with pytest.raises(ValueError, match="not a valid StopReason"):
        StopReason(f"{stored}.")


@pytest.mark.parametrize("name", SOLVERS)
def test_every_state_knows_the_best_point_and_the_last(name):
    """A run may be left after any of them."""
    seen = []
    for state in states(name, valley)[1:]:
        progress = state.progress
        seen.append((progress.evaluation.total, progress.point))
        value, point = min(seen, key=lambda each: each[0])
        assert progress.lowest[-1] == value
        np.testing.assert_array_equal(progress.best, point)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", SOLVERS)
def test_a_value_that_is_not_finite_goes_back_to_the_best_point(name, bad):
    calls = []

    def breaks_down(point):
        calls.append(point)
        found = bowl(point)
        return Evaluated(bad, found.gradient) if len(calls) == 4 else found

    progress = run(name, breaks_down, budget=50)
    assert (progress.reason, progress.evaluations) == (StopReason.NOT_FINITE, 3)
    assert np.isfinite(progress.lowest[-1])
    assert np.isfinite(progress.best).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_a_gradient_that_is_not_finite_at_the_start_gives_the_start_back(name):
    progress = run(name, lambda point: Evaluated(1.0, np.full_like(point, np.nan)))
    assert (progress.reason, progress.evaluations) == (StopReason.NOT_FINITE, 0)
    np.testing.assert_array_equal(progress.best, START)


def test_a_run_without_progress_ends_as_stalled():
    calls = iter(range(1000))

    def hardly_falling(point):
        return Evaluated(1.0 - 1e-7 * next(calls), np.ones_like(point))

    progress = run("adam", hardly_falling, budget=500)
    assert progress.reason is StopReason.STALLED
    assert progress.evaluations < 100


def test_a_minimum_reached_ends_as_converged():
    progress = run("lbfgs", lambda p: Evaluated(0.0, np.zeros_like(p)), budget=50)
    assert progress.reason is StopReason.CONVERGED
    assert progress.evaluations < 5


@pytest.mark.parametrize("name", SOLVERS)
def test_a_run_begins_with_what_another_learned_or_makes_nothing_of_it(name):
    """At another size: what L-BFGS learned is a number, of the other solvers nothing."""
    solver = SOLVERS[name]
    learned = solver.curvature_scale(states(name, bowl)[-1])
    assert (learned > 0) == (name == "lbfgs")
    state = solver.begin(START, 25, learned)
    assert state.progress.evaluations == 0
    progress = run(name, bowl, state=solver.begin(START, 300, learned))
    assert progress.lowest[-1] < 1e-3 * bowl(START).total


@pytest.mark.parametrize("name", SOLVERS)
def test_another_function_is_gone_on_with_within_the_budget(name):
    """What was evaluated before counts; the best point is the new function's."""

    def higher(point):
        found = bowl(point)
        return Evaluated(found.total + 1e6, found.gradient)

    state = SOLVERS[name].rebind(states(name, bowl, budget=20)[10], 20)
    assert (state.progress.evaluations, state.progress.lowest) == (10, ())
    progress = run(name, higher, state=state)
    assert (progress.evaluations, progress.reason) == (20, StopReason.BUDGET)
    assert progress.lowest[-1] > 1e6
    assert bowl(progress.best).total < bowl(START).total


# SciPy's own loop ----------------------------------------------------------------------------


def test_a_run_of_scipy_that_is_left_leaves_no_thread_behind():
    def waiting():
        return {each for each in threading.enumerate() if each.name == "impasto-scipy"}

    others = waiting()  # of states that earlier tests still hold
    state = SOLVERS["scipy"].begin(START, 50)
    state = SOLVERS["scipy"].step(bowl, state)
    (thread,) = waiting() - others
    del state
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


def test_scipy_writes_no_state_down_and_takes_none(one_line):
    assert [SOLVERS["scipy"].to_arrays(state) for state in states("scipy", bowl, budget=5)] == [
        None
    ] * 6
    with pytest.raises(CheckpointError) as caught:
        SOLVERS["scipy"].from_arrays({}, START, 5)
    assert "SciPy" in one_line(caught)


# Going on ------------------------------------------------------------------------------------


def bytes_of(point):
    return ops.convert_to_numpy(point).tobytes()


@pytest.mark.parametrize(
    ("name", "function", "where"),
    product(["lbfgs", "adam"], [valley, bowl], [np.asarray, ops.convert_to_tensor]),
)
def test_from_every_third_state_later_points_are_the_same_to_the_last_bit(name, function, where):
    def anywhere(point):
        found = function(ops.convert_to_numpy(point))
        return Evaluated(found.total, where(found.gradient))

    solver, start = SOLVERS[name], where(START)
    whole = states(name, anywhere, start)
    points = [bytes_of(state.progress.point) for state in whole[1:]]
    assert solver.to_arrays(whole[0]) is None
    assert len(whole) > 15
    for number in range(1, len(whole), 3):
        again = solver.from_arrays(solver.to_arrays(whole[number]), start, 25)
        rest = states(name, anywhere, start, state=again)
        assert [bytes_of(each.progress.point) for each in rest[1:]] == points[number:]
        end, expected = rest[-1].progress, whole[-1].progress
        assert bytes_of(end.best) == bytes_of(expected.best)
        assert type(end.best) is type(expected.best)
        assert (end.lowest, end.reason) == (expected.lowest, expected.reason)


@pytest.mark.parametrize("name", ["lbfgs", pytest.param("adam", marks=pytest.mark.slow)])
def test_a_run_that_stalls_does_so_at_the_same_evaluation_when_gone_on_with(name):
    def hardly_falling(point):
        found = bowl(point)
        return Evaluated(1.0 + 1e-7 * found.total, found.gradient * 1e-7)

    whole = states(name, hardly_falling, budget=500)
    assert whole[-1].progress.reason is StopReason.STALLED
    for state in whole[1:]:
        again = SOLVERS[name].from_arrays(SOLVERS[name].to_arrays(state), START, 500)
        end = run(name, hardly_falling, state=again)
        assert (end.reason, end.evaluations) == (StopReason.STALLED, whole[-1].progress.evaluations)


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
    solver = SOLVERS[name]
    state = solver.to_arrays(states(name, bowl)[6])
    for array in state:
        if forgery == "not finite" and state[array].dtype.kind != "f":
            continue
        if forgery == "another shape" and not state[array].ndim:
            continue
        forged = {**state, **FORGERIES[forgery](state, array)}
        with pytest.raises(CheckpointError) as caught:
            solver.from_arrays(forged, START, 25)
        one_line(caught)
    missing = {array: state[array] for array in list(state)[1:]}
    with pytest.raises(CheckpointError):
        solver.from_arrays(missing, START, 25)


@pytest.mark.parametrize(
    "forged",
    [
        {"bests": np.array([1.0, 2.0])},
        {"bests": np.zeros(26)},
        {"bests": np.zeros(0)},
        {"before": np.array([-1.0])},
        {"before": np.array([20.0, 1.0])},
        {"before": np.array([24.0])},
        {"value": np.zeros(2)},
        {"curvatures": np.zeros(3)},
        {"curvatures": np.ones(2)},
        {"change 0": START * 0},
        {"search": np.array([0.0, 1.0])},
        {"search": np.array([1.0, 12.0])},
        {"search": np.array([1.0])},
    ],
)
def test_a_state_that_could_not_have_come_about_is_refused(forged):
    solver = SOLVERS["lbfgs"]
    state = next(
        packed
        for each in states("lbfgs", bowl)[1:]
        if len((packed := solver.to_arrays(each))["curvatures"]) == 3
    )
    solver.from_arrays(state, START, 25)
    with pytest.raises(CheckpointError):
        solver.from_arrays({**state, **forged}, START, 25)


def test_the_unit_of_a_frequency_falls_with_its_height():
    scale = parametrization.frequency_scale(range(6), 8)[..., 0]
    assert scale[0, 0] == parametrization.UNIT_STEP
    assert (np.diff(scale, axis=0) < 0).all()
    assert (np.diff(scale, axis=1) < 0).all()
