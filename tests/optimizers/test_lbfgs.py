"""L-BFGS on problems whose answer is known, and its state as a value."""

import numpy as np
import pytest

from impasto.optimizers import lbfgs

CURVATURE = np.array([1.0, 5.0, 20.0, 100.0])


def dot(a, b):
    return float(np.vdot(a, b))


def bowl(point):
    return float(np.sum(CURVATURE * point**2) / 2), CURVATURE * point


def valley(point):
    """Rosenbrock 1960: its minimum of zero at (1, 1) lies in a narrow, curved valley."""
    a, b = point
    gradient = np.array([-400 * a * (b - a**2) - 2 * (1 - a), 200 * (b - a**2)])
    return float(100 * (b - a**2) ** 2 + (1 - a) ** 2), gradient


def run(function, start, iterations):
    state = lbfgs.begin(function, np.asarray(start, float))
    for _ in range(iterations):
        following = lbfgs.iterate(function, state, dot)
        if following is None:
            return state
        assert following.value <= state.value
        state = following
    return state


def test_a_quadratic_is_minimized_to_the_last_digit():
    assert run(bowl, [1, -2, 3, -4], 60).value < 1e-20


def test_the_classic_start_of_rosenbrock_ends_at_one_one():
    np.testing.assert_allclose(run(valley, [-1.2, 1.0], 100).point, [1, 1], atol=1e-6)


def test_the_first_step_has_length_one():
    state = run(bowl, [100.0, 100.0, 100.0, 100.0], 1)
    assert np.linalg.norm(state.point - 100) == pytest.approx(1)


def test_the_direction_is_newtons_where_the_pairs_span_the_space():
    """With a step along every axis two loops give the exact inverse Hessian's product."""
    pairs = tuple(
        lbfgs.Pair(axis, CURVATURE * axis, dot(axis, CURVATURE * axis)) for axis in np.eye(4)
    )
    value, gradient = bowl(np.ones(4))
    way = lbfgs.direction(lbfgs.State(np.ones(4), value, gradient, pairs), dot)
    np.testing.assert_allclose(way, -np.ones(4))


def test_a_run_goes_on_from_its_state_as_if_it_had_not_stopped():
    whole = run(valley, [-1.2, 1.0], 20)
    half = run(valley, [-1.2, 1.0], 9)
    for _ in range(11):
        half = lbfgs.iterate(valley, half, dot)
    np.testing.assert_array_equal(half.point, whole.point)
    assert len(whole.pairs) == lbfgs.MEMORY


def test_a_step_that_is_too_long_is_shortened():
    tries = []

    def steep(point):
        tries.append(float(point[0]))
        return float(point[0] ** 4), 4 * point**3

    state = lbfgs.iterate(steep, lbfgs.begin(steep, np.array([0.5])), dot)
    assert len(tries) > 2
    assert 0 <= abs(state.point[0]) < 0.5


def test_a_try_that_is_not_finite_is_shortened():
    def wall(point):
        return (np.inf, point) if point[0] < 0.9 else (float(point[0]), np.ones(1))

    assert 0.9 <= lbfgs.iterate(wall, lbfgs.begin(wall, np.ones(1)), dot).point[0] < 1


def test_a_step_without_curvature_is_not_remembered():
    def slope(point):
        return float(point.sum()), np.ones(2)

    assert run(slope, [0.0, 0.0], 3).pairs == ()


def test_pairs_that_mislead_are_forgotten_before_giving_up():
    wrong = lbfgs.Pair(np.ones(4), -np.ones(4), 1e-3)
    value, gradient = bowl(np.ones(4))
    state = lbfgs.iterate(bowl, lbfgs.State(np.ones(4), value, gradient, (wrong,)), dot)
    assert state.value < value


def test_there_is_no_step_from_a_minimum():
    assert lbfgs.iterate(bowl, lbfgs.begin(bowl, np.zeros(4)), dot) is None


def test_a_gradient_that_lies_is_given_up():
    def uphill(point):
        return float(point @ point), -2 * point

    assert lbfgs.iterate(uphill, lbfgs.begin(uphill, np.ones(2)), dot) is None
