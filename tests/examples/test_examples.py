"""Every example runs, with small images; one whose library is missing is skipped."""

import io

import numpy as np
import pytest
from PIL import Image

import impasto
from tests import tiny

EVALUATIONS = {"evaluations": 1, "levels": 1}


def test_every_example_has_a_test(subtests):
    from tests.examples.conftest import EXAMPLES

    with open(__file__, encoding="utf-8") as file:
        text = file.read()
    for path in EXAMPLES.glob("*.py"):
        with subtests.test(path.stem):
            assert f'example("{path.stem}")' in text


@tiny.needs_kernels
@pytest.mark.slow
def test_the_service_paints_uploads_and_rejects_others(example, files):
    pytest.importorskip("fastapi", reason="needs: pip install fastapi python-multipart httpx")
    pytest.importorskip("python_multipart")
    pytest.importorskip("httpx")
    from fastapi.testclient import TestClient

    content, style = (path.read_bytes() for path in files)
    with TestClient(example("fastapi_service").app) as client:
        done = client.post("/paint", files={"content": content, "style": style}, data={"size": 64})
        assert done.status_code == 200, done.text
        assert done.headers["content-type"] == "image/png"
        with Image.open(io.BytesIO(done.content)) as image:
            assert image.size == (64, 43)
        wrong = client.post("/paint", files={"content": b"no image", "style": style})
        assert wrong.status_code == 422
        assert "not an image" in wrong.json()["detail"]
        huge = client.post(
            "/paint", files={"content": content, "style": style}, data={"size": 10**6}
        )
        assert huge.status_code == 422


@tiny.needs_kernels
@pytest.mark.slow
def test_the_demo_shows_images_during_the_run(example, files):
    pytest.importorskip("gradio", reason="needs: pip install gradio")
    module = example("gradio_demo")
    images = [Image.open(path) for path in files]
    *steps, last = module.paint(*images, 64, 0.5)
    assert len(steps) > 10
    assert {image.size for image in (*steps, last)} >= {(64, 43)}
    with pytest.raises(module.gr.Error, match="Choose"):
        next(module.paint(images[0], None, 64, 0.5))
    assert [each.label for each in module.demo.input_components[:2]] == [
        "Content image",
        "Style image",
    ]


@tiny.needs_kernels
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "float64", "uint16"])
def test_the_array_function_keeps_the_conventions_of_scikit_image(example, dtype):
    from skimage import util

    transfer_style = example("array_function").transfer_style
    convert = {"uint8": util.img_as_ubyte, "uint16": util.img_as_uint}.get(dtype, util.img_as_float)
    image, style = (
        convert(impasto.load_sample(name, 64).astype("uint8")) for name in ("coffee", "swirls")
    )
    out = transfer_style(image, style)
    assert (out.dtype, out.shape) == (np.float64, image.shape)
    assert 0 <= out.min() < out.max() <= 1
    if dtype == "uint8":
        first = np.moveaxis(image, -1, 0), np.moveaxis(style, -1, 0)
        np.testing.assert_array_equal(
            transfer_style(*first, channel_axis=0), np.moveaxis(out, -1, 0)
        )
        gray = transfer_style(image[..., 0], style[..., 0], channel_axis=None, max_size=32)
        assert gray.shape == (22, 32, 3)


@tiny.needs_kernels
@pytest.mark.slow
def test_a_dataset_is_augmented_the_same_way_every_time(example):
    torch = pytest.importorskip("torch")
    images = torch.rand(4, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    dataset = torch.utils.data.TensorDataset(images, torch.arange(4))
    module = example("torch_augmentation")
    styles = [impasto.load_sample("swirls", 64), impasto.load_sample("dots", 64)]
    augmented = module.StyleAugmentation(dataset, styles, seed=3, **EVALUATIONS)
    loader = torch.utils.data.DataLoader(augmented, batch_size=4)
    (batch, labels), *_ = loader
    assert batch.shape == (4, 3, 48, 64)
    assert batch.dtype == torch.float32
    assert labels.tolist() == [0, 1, 2, 3]
    painted = [not torch.equal(one, other) for one, other in zip(batch, images, strict=True)]
    assert 0 < sum(painted) < 4
    again = next(iter(torch.utils.data.DataLoader(augmented, batch_size=4)))[0]
    assert torch.equal(batch, again)


@tiny.needs_kernels
@pytest.mark.slow
def test_a_cluster_paints_a_large_image(example, files, tmp_path):
    pytest.importorskip("distributed", reason="needs: pip install 'impasto[cluster]'")
    module = example("dask_cluster")
    result = module.paint_on_cluster(
        *map(str, files), str(tmp_path / "a.png"), size=320, tile=160, **EVALUATIONS
    )
    assert result.pixels.shape[1] == 320
    assert (tmp_path / "a.png").is_file()
    alone = impasto.stylize(*files, size=320, tile=160, **EVALUATIONS)
    np.testing.assert_array_equal(result.pixels, alone.pixels)
