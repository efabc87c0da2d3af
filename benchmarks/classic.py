"""The method of the classic repositories in PyTorch, as a baseline.

Gatys et al. 2016 as in jcjohnson's neural-style and its ports: ReLU features, Gram matrices
divided by positions and channels, squared error, a small total variation, PyTorch's L-BFGS on
pixels from the content image at one size. Departures: VGG16 instead of VGG19, and 300 evaluations
as in PyTorch's tutorial instead of 1,000.

    python -m benchmarks.classic CONTENT STYLE OUT --size 512
"""

import json
import time
from typing import Any

import numpy as np

from benchmarks import processes
from benchmarks.baselines import BGR_MEAN, CONTENT_LAYER, torch_features
from impasto.images import arrays
from impasto.images.arrays import ImageArray
from impasto.images.formats import decode, encode

STYLE_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
CONTENT_WEIGHT, STYLE_WEIGHT, TV_WEIGHT = 5.0, 100.0, 1e-3
EVALUATIONS = 300


def paint(content: ImageArray, style: ImageArray, evaluations: int = EVALUATIONS) -> ImageArray:
    """Return the picture that so many evaluations give, of the size of ``content``."""
    import torch

    features, enter = torch_features()
    mse = torch.nn.functional.mse_loss
    with torch.no_grad():
        target = features(enter(content))[CONTENT_LAYER]
        painting = features(enter(style))
        grams = {name: _gram(painting[name]) for name in STYLE_LAYERS}
    x = enter(content).requires_grad_(True)
    solver = torch.optim.LBFGS([x], max_iter=evaluations, max_eval=evaluations)

    def evaluate() -> Any:
        solver.zero_grad()
        seen = features(x)
        loss = CONTENT_WEIGHT * mse(seen[CONTENT_LAYER], target)
        loss = loss + STYLE_WEIGHT * sum(mse(_gram(seen[n]), g) for n, g in grams.items())
        down, right = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
        loss = loss + TV_WEIGHT * (down.abs().sum() + right.abs().sum())
        loss.backward()
        return loss

    solver.step(evaluate)
    pixels = x.detach().numpy()[0].transpose(1, 2, 0) + BGR_MEAN
    picture: ImageArray = np.clip(pixels[..., ::-1], 0, 255).astype(np.float32)
    return picture


def _gram(maps: Any) -> Any:
    flat = maps.reshape(maps.shape[1], -1)
    return flat @ flat.T / flat.numel()


def main() -> None:
    """Paint one pair and print what it took, as JSON."""
    parser = processes.parser_of_pair(__doc__.splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS)
    arguments = parser.parse_args()
    content, style = (
        decode.read_image(path).pixels for path in (arguments.content, arguments.style)
    )
    content = arrays.resize(content, *arrays.fit(*arrays.size_of(content), arguments.size))
    area = content.shape[0] * content.shape[1]
    style = arrays.resize(style, *arrays.fit_area(*arrays.size_of(style), area))
    began = time.perf_counter()
    encode.write_image(paint(content, style, arguments.evaluations), arguments.out)
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
