"""Each loss against a naive NumPy oracle, and the algebra that everything else rests on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.compute import keras_backend
from impasto.compute.arrays import array_namespace, to_numpy
from impasto.losses import moment_losses
from impasto.losses import moments as losses
from impasto.losses.content import content_loss
from impasto.losses.style import MomentsStyleLoss
from impasto.losses.terms import LayerView
from impasto.losses.total_variation import total_variation
from tests import tiny

pytestmark = pytest.mark.backend

COMPARISONS = {
    "gram": moment_losses.GRAM,
    "moments": moment_losses.MOMENTS,
    "wasserstein": moment_losses.WASSERSTEIN,
}


def features(seed, height=6, width=7, channels=5):
    random = np.random.default_rng(seed)
    return np.maximum(random.normal(0.3, 1, (height, width, channels)), 0).astype(np.float32)


@pytest.fixture(scope="module")
def moments(place):
    """Moments of an array, by its weights if there are any."""
    return lambda array, weights=None: losses.moments(
        place(array), None if weights is None else place(weights)
    )


def number(value):
    return float(to_numpy(value))


def test_the_gram_matrix_is_the_mean_outer_product(moments):
    gram = to_numpy(losses.gram(moments(features(1))))
    np.testing.assert_allclose(gram, tiny.naive_gram(features(1)), rtol=1e-5)


def test_mean_and_deviation(moments):
    mean, deviation = losses.mean_and_deviation(moments(features(2)))
    np.testing.assert_allclose(to_numpy(mean), features(2).mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(to_numpy(deviation), features(2).std((0, 1)), rtol=1e-4)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_moments_add_up_over_any_partition_of_positions(moments, seed, row, column):
    whole = features(seed)
    parts = [whole[:row, :column], whole[:row, column:], whole[row:]]
    total = [sum(values) for values in zip(*map(moments, parts), strict=True)]
    for expected, received in zip(moments(whole), total, strict=True):
        np.testing.assert_allclose(to_numpy(received), to_numpy(expected), rtol=1e-4, atol=1e-4)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_moments_do_not_depend_on_the_order_of_positions(moments, seed):
    whole = features(seed)
    shuffled = np.random.default_rng(seed).permutation(whole.reshape(-1, 5)).reshape(whole.shape)
    for expected, received in zip(moments(whole), moments(shuffled), strict=True):
        np.testing.assert_allclose(to_numpy(received), to_numpy(expected), rtol=1e-4, atol=1e-4)


def test_a_mask_of_zeros_and_ones_gives_the_moments_of_the_positions_it_covers(moments):
    mask = np.zeros((6, 7), np.float32)
    mask[:, :3] = 1
    for expected, received in zip(
        moments(features(3)[:, :3]), moments(features(3), mask), strict=True
    ):
        np.testing.assert_allclose(to_numpy(received), to_numpy(expected), rtol=1e-5)


def test_half_precision_features_do_not_overflow(place):
    large = place(features(4) * 1e4)
    half = array_namespace(large).cast(large, "float16")
    assert np.isfinite(to_numpy(losses.moments(half).second)).all()


@pytest.mark.parametrize("relative", [True, False])
def test_content_loss_equals_its_equation(place, relative):
    received, target = features(5), features(6)
    loss = content_loss(place(received), place(target), relative)
    assert number(loss) == pytest.approx(tiny.naive_mse(received, target, relative), rel=1e-5)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("name", COMPARISONS)
def test_style_losses_equal_their_equations(moments, name, relative):
    received, target = features(7), features(8)
    loss = COMPARISONS[name].loss(moments(received), moments(target), relative)
    expected = tiny.naive_style(received, target, relative, name)
    assert number(loss) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", COMPARISONS)
def test_style_losses_vanish_at_their_own_target(moments, name):
    same = moments(features(9))
    assert number(COMPARISONS[name].loss(same, same, True)) == pytest.approx(0, abs=2e-6)


@pytest.mark.parametrize("name", COMPARISONS)
def test_style_losses_do_not_depend_on_the_number_of_positions(moments, name):
    once, twice = features(10), np.tile(features(10), (2, 1, 1))
    compare, target = COMPARISONS[name].loss, moments(features(11))
    expected = number(compare(moments(once), target, True))
    assert number(compare(moments(twice), target, True)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", COMPARISONS)
def test_style_losses_of_several_parts_are_those_of_each(moments, name):
    parts, target = [moments(features(seed)) for seed in (20, 21)], moments(features(22))
    together = losses.Moments(
        *(array_namespace(target.sum).stack(fields) for fields in zip(*parts, strict=True))
    )
    received = to_numpy(COMPARISONS[name].loss(together, target, True))
    expected = [number(COMPARISONS[name].loss(part, target, True)) for part in parts]
    assert received == pytest.approx(expected, rel=1e-4)


def test_the_wasserstein_distance_is_finite_with_fewer_positions_than_channels(moments):
    few, none = features(23, height=1, width=2), np.zeros((1, 1, 5), np.float32)
    for of, target in ((few, few), (few, none), (none, few), (none, none)):
        assert np.isfinite(number(moment_losses.wasserstein_loss(moments(of), moments(target))))


@pytest.mark.parametrize("positions", [1, 2, 9])
def test_the_wasserstein_distance_is_finite_where_hardly_anything_varies(moments, positions):
    """What is left of a variance then is the rounding of large squares."""
    random = np.random.default_rng(positions)
    base = np.abs(random.normal(0, 300, 256))
    flat = base * random.uniform(0.95, 1.05, (1, positions, 1))
    constant = np.broadcast_to(base, (1, 40, 256))
    for target in (flat, constant):
        value = moment_losses.wasserstein_loss(
            moments(features(23, channels=256) * 300), moments(target.astype(np.float32))
        )
        assert np.isfinite(number(value))


def test_a_blend_of_one_and_nothing_is_the_one_exactly(moments):
    one, other = moments(features(24)), moments(features(25))
    alone = losses.blend([(1.0, one)])
    for blended in (losses.blend([(1.0, one), (0.0, other)]), losses.blend([(3.0, one)])):
        for expected, received in zip(alone, blended, strict=True):
            np.testing.assert_array_equal(to_numpy(received), to_numpy(expected))


def test_a_blend_counts_paintings_by_their_shares_and_not_by_their_sizes(moments):
    small, large = features(26, width=3), features(27, width=30)
    mixed = losses.blend([(3.0, moments(small)), (1.0, moments(large))])
    expected = 0.75 * tiny.naive_gram(small) + 0.25 * tiny.naive_gram(large)
    np.testing.assert_allclose(to_numpy(losses.gram(mixed)), expected, rtol=1e-4)


def test_the_gram_matrix_confuses_mean_and_deviation_and_the_moments_do_not(moments):
    flat = np.full((4, 4, 1), np.sqrt(2), np.float32)
    strokes = np.ones((4, 4, 1), np.float32)
    strokes[::2], strokes[1::2] = 0, 2
    assert number(moment_losses.gram_loss(moments(flat), moments(strokes))) < 1e-6
    assert number(moment_losses.moments_loss(moments(flat), moments(strokes))) > 0.5


def test_relative_losses_do_not_change_with_the_scale_of_the_features(moments):
    received, target = features(12), features(13)
    expected = number(moment_losses.gram_loss(moments(received), moments(target)))
    scaled = number(moment_losses.gram_loss(moments(received * 30), moments(target * 30)))
    assert scaled == pytest.approx(expected, rel=1e-4)


def test_a_target_of_zeros_gives_a_finite_loss(moments):
    nothing = np.zeros((4, 4, 5), np.float32)
    assert np.isfinite(number(moment_losses.moments_loss(moments(features(14)), moments(nothing))))


def test_total_variation_equals_its_equation_and_vanishes_on_a_flat_picture(place):
    picture = tiny.random_picture(5, 6, seed=1)
    expected = tiny.naive_losses(picture, picture, picture, relative=True)["tv"]
    assert number(total_variation(place(picture))) == pytest.approx(expected)
    flat = np.full((5, 6, 3), 99, np.float32)
    assert number(total_variation(place(flat))) == 0


def test_slices_are_a_partition(moments, place):
    whole = moments(features(15))
    parts = losses.slice_moments(LayerView(place(features(15))), 3)
    assert list(to_numpy(parts.count)) == [18, 18, 6]
    first = moments(features(15)[:, :3])
    np.testing.assert_allclose(*map(to_numpy, (parts.second[0], first.second)), rtol=1e-5)
    total = losses.combine(np.ones((1, 3), np.float32), parts)
    for expected, received in zip(whole, total, strict=True):
        np.testing.assert_allclose(to_numpy(received)[0], to_numpy(expected), rtol=1e-5)


@pytest.fixture(scope="module")
def spread(place, moments):
    """The loss of moments, of the whole and of strips."""

    def loss(picture, target, strips, weights=None):
        weights = None if weights is None else place(weights[..., None])
        view = LayerView(place(picture), weights)
        return number(spread_of(moment_losses.MOMENTS, view, moments(target), strips))

    return loss


def spread_of(comparison, view, target, strips):
    measure = MomentsStyleLoss(comparison, True, strips)
    return measure.loss(measure.reduce(view, target), target)


@pytest.mark.parametrize("strips", [1, 3])
def test_weights_of_one_change_nothing(spread, strips):
    received, target = features(28), features(29)
    expected = spread(received, target, strips)
    ones = np.ones(received.shape[:2], np.float32)
    assert spread(received, target, strips, ones) == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 7))
@settings(max_examples=15, deadline=None)
def test_slices_under_weights_are_moments_of_the_positions_that_count(moments, place, seed, slices):
    whole = features(seed)
    weights = np.random.default_rng(seed).uniform(-1, 1, (6, 7)).clip(0).astype(np.float32)
    view = LayerView(place(whole), place(weights[..., None]))
    parts = losses.slice_moments(view, slices)
    total = losses.combine(np.ones((1, slices), np.float32), parts)
    for expected, received in zip(moments(whole, weights), total, strict=True):
        np.testing.assert_allclose(to_numpy(received)[0], to_numpy(expected), rtol=1e-4, atol=1e-4)


def test_a_single_strip_is_the_whole(moments, spread):
    received, target = features(16), features(17)
    expected = number(moment_losses.moments_loss(moments(received), moments(target)))
    assert spread(received, target, 1) == pytest.approx(expected, rel=1e-6)


def test_strokes_that_gather_on_one_side_pass_for_the_whole_but_not_for_strips(spread):
    style = np.zeros((4, 10, 1), np.float32)
    style[:, ::2] = 1
    gathered = np.sort(style, axis=1)
    assert spread(gathered, style, 1) < 1e-6
    assert spread(gathered, style, 4) > 0.1
    assert spread(style, style, 4) < 1e-6


def test_more_strips_than_columns_stay_finite(spread):
    assert np.isfinite(spread(features(18, width=2), features(19), 5))


@pytest.mark.parametrize("name", COMPARISONS)
def test_strips_without_positions_have_a_finite_gradient(moments, place, name):
    """A narrow picture in many strips."""
    target, narrow = moments(features(19)), features(18, width=2, channels=5)
    measure = MomentsStyleLoss(COMPARISONS[name], True, 5)
    if place is np.asarray:
        sums, pullback = measure.vjp(LayerView(narrow), target)
        gradient = np.zeros_like(narrow)
        pullback(measure.loss_gradient(sums, target))(gradient)
        total = measure.loss(sums, target)
    else:
        step = keras_backend.value_and_gradient(
            lambda seen, _: (spread_of(COMPARISONS[name], LayerView(seen * 1.0), target, 5), {})
        )
        total, _, gradient = step(narrow, {})
    assert np.isfinite(total)
    assert np.isfinite(gradient).all()
