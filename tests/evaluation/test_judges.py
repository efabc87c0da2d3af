"""The preparation of images for the judges, and the order of their distances."""

import json

import numpy as np
import pytest
from PIL import Image

from impasto.errors import ImageError, SettingError
from impasto.evaluation import judges
from impasto.evaluation.networks import VGG19_LAYERS, JudgeFeatures
from impasto.images import arrays, colors, samples
from tests import tiny
from tests.evaluation import weights


class FakeNetworks:
    """Sees averages of pixels instead of features, and remembers sizes."""

    def __init__(self):
        self.sizes = []

    def compute_features(self, image):
        self.sizes.append(arrays.size_of(image))

        def at(stride):
            height, width = (n // stride for n in image.shape[:2])
            cut = image[: height * stride, : width * stride]
            return cut.reshape(height, stride, width, stride, 3).mean((1, 3)) / 255 - np.float32(
                0.5
            )

        return JudgeFeatures(
            colors.to_lab(image).astype(np.float32),
            {stage: at(int(stage.split()[1])) for stage in judges.LITE0_STAGES},
            {layer: at(2**block) for block, layer in enumerate(VGG19_LAYERS)},
            image[..., 0] / 255,
        )


@pytest.fixture
def networks(monkeypatch):
    seeing = FakeNetworks()
    monkeypatch.setattr(judges, "JudgeNetworks", lambda: seeing)
    return seeing


@pytest.fixture
def pair():
    return tiny.random_picture(96, 128, 1), tiny.random_picture(150, 110, 2)


def test_content_and_style_are_rated_with_the_results(networks, pair):
    half = (pair[0] + arrays.resize(pair[1], 96, 128)) / 2
    found = judges.judge(*pair, half, pair[0], size=128)
    assert [each.name for each in found.results] == ["result 1", "result 2"]
    for name, measure in judges.MEASURES.items():
        at_home, away = (found.style, found.content)
        if measure.reference == "content image":
            at_home, away = away, at_home
        assert at_home.figures[name] == pytest.approx(0, abs=1e-5), name
        assert away.figures[name] > 0.001, name
    assert found.results[1].figures == found.content.figures


def test_the_figure_is_the_mean_over_stages(networks, pair):
    found = judges.judge(*pair, size=128).content
    assert list(found.figures) == list(judges.MEASURES)
    assert set(found.stages) == set(judges.MEASURES)
    for name, stages in found.stages.items():
        assert found.figures[name] == pytest.approx(np.mean(list(stages.values())))
    assert list(found.stages["global_vgg19"]) == list(VGG19_LAYERS)
    assert list(found.stages["coverage_lite0"]) == list(judges.LITE0_STAGES)


def test_all_images_are_resized_and_the_style_image_is_never_enlarged(networks, pair):
    content, style = pair
    judges.judge(content, style, tiny.random_picture(48, 64, 3), size=256)
    # Content image, style image, result, style image in the shape of the content image.
    assert networks.sizes == [(192, 256), (150, 110), (192, 256), (192, 256)]


def test_results_are_paths_images_and_arrays(networks, pair, tmp_path):
    content, style = (np.round(each).astype(np.uint8) for each in pair)
    Image.fromarray(content).save(tmp_path / "a.png")
    found = judges.judge(
        tmp_path / "a.png", Image.fromarray(style), str(tmp_path / "a.png"), content, size=128
    )
    first, second = found.results
    assert (first.name, second.name) == (str(tmp_path / "a.png"), "result 2")
    assert first.figures == second.figures


def test_a_judgment_can_be_written_as_json(networks, pair):
    found = judges.judge(*pair, pair[0], size=128)
    again = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert again["size"] == 128
    assert again["results"][0]["figures"] == dict(found.content.figures)
    assert again["style"]["stages"]["local_lite0"].keys() == set(judges.LITE0_STAGES)


@pytest.mark.parametrize("size", [127, 1025])
def test_a_size_out_of_range_is_rejected_before_any_image_is_read(size, one_line):
    with pytest.raises(SettingError) as caught:
        judges.judge("missing.png", "missing.png", size=size)
    assert f"{size}: expected 128 to 1024" in one_line(caught)


def test_a_result_of_another_shape_is_rejected(pair, one_line, monkeypatch):
    monkeypatch.setattr(judges, "JudgeNetworks", None)  # no network is loaded by then
    with pytest.raises(ImageError) as caught:
        judges.judge(*pair, pair[0], np.rot90(pair[0]).copy())
    said = one_line(caught)
    assert "result 2 has 96 x 128 px, the content image 128 x 96 px" in said


def test_a_missing_result_is_rejected(pair, one_line, tmp_path):
    with pytest.raises(ImageError) as caught:
        judges.judge(*pair, tmp_path / "missing.png")
    assert "missing.png: no such file" in one_line(caught)


@pytest.mark.slow
@weights.needed
def test_a_collage_of_the_style_image_is_nearer_in_style_but_not_in_structure():
    """Content image and noise are the references."""
    content = arrays.resize(samples.load_content("cat"), 106, 160)
    style = samples.make_style("swirls", 160)
    height, width = arrays.size_of(content)
    collage = np.roll(arrays.resize(style, height, width), 40, axis=1)[:, ::-1].copy()
    noisy = arrays.noise(height, width, 1)
    found = judges.judge(content, style, collage, noisy, size=160)
    collage_scores, noisy_scores = (each.figures for each in found.results)
    nothing = found.content.figures
    for name, measure in judges.MEASURES.items():
        if measure.reference == "style image":
            assert collage_scores[name] < nothing[name], name
            assert collage_scores[name] < noisy_scores[name], name
        else:
            assert collage_scores[name] > 0.1, name
            assert noisy_scores[name] > 0.1, name


@pytest.mark.slow
@pytest.mark.backend
@weights.needed
def test_backends_judge_alike():
    """The figures that TensorFlow came to, which those of every backend must be."""
    content = arrays.resize(samples.load_content("coffee"), 86, 128)
    style = samples.make_style("swirls", 128)
    half = (content + arrays.resize(style, 86, 128)) / 2
    found = judges.judge(content, style, half, size=128).results[0]
    assert found.figures == pytest.approx(EXPECTED, rel=1e-3)


EXPECTED = {
    "local_lite0": 0.39723,
    "coverage_lite0": 0.40431,
    "global_lite0": 0.36096,
    "local_vgg19": 0.48499,
    "coverage_vgg19": 0.48694,
    "global_vgg19": 0.54684,
    "palette_excess": 8.5166,
    "palette_distance": 27.412,
    "self_similarity": 0.089242,
    "edge_distance": 0.38824,
}
