"""The method of the Keras tutorial, as a baseline.

Keras's VGG16 with its own gradients in one ``tf.function``, from the content image, at one size;
SciPy's ``fmin_l_bfgs_b`` on pixels, 20 evaluations at a time, ten times; layers and weights of the
tutorial. One departure, in its favor: the aspect ratio is kept. Stops after the round in which
``--seconds`` have passed, and prints its state.

    python -m benchmarks.tutorial CONTENT STYLE OUT --size 512
"""

import json
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import fmin_l_bfgs_b

from benchmarks import processes
from benchmarks.baselines import BGR_MEAN, stock_network
from impasto.images import arrays
from impasto.images.arrays import ImageArray
from impasto.images.formats import decode, encode

CONTENT_LAYER = "block5_conv2"
STYLE_LAYERS = [f"block{block}_conv1" for block in range(1, 6)]
CONTENT_WEIGHT, STYLE_WEIGHT, TV_WEIGHT = 2.5e-8, 1e-6, 1e-6
ROUNDS, EVALUATIONS = 10, 20


def objective(content: ImageArray, style: ImageArray) -> Any:
    """Return the compiled function from a picture (1, h, w, 3), BGR minus mean, to its loss."""
    import tensorflow as tf

    model = stock_network((CONTENT_LAYER, *STYLE_LAYERS))
    target = model(enter(content))[CONTENT_LAYER]
    grams = {name: gram(features) for name, features in model(enter(style)).items()}
    height, width = arrays.size_of(content)

    @tf.function
    def loss_and_gradient(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            seen = model(x)
            loss = CONTENT_WEIGHT * tf.reduce_sum((seen[CONTENT_LAYER] - target) ** 2)
            for name in STYLE_LAYERS:
                difference = tf.reduce_sum((gram(seen[name]) - grams[name]) ** 2)
                scale = 4.0 * 3**2 * (height * width) ** 2
                loss += STYLE_WEIGHT / len(STYLE_LAYERS) * difference / scale
            down = tf.square(x[:, :-1, :-1] - x[:, 1:, :-1])
            right = tf.square(x[:, :-1, :-1] - x[:, :-1, 1:])
            loss += TV_WEIGHT * tf.reduce_sum((down + right) ** 1.25)
        return loss, tape.gradient(loss, x)

    return loss_and_gradient


def gram(features: Any) -> Any:
    """Return the sum of outer products of (1, h, w, C) features over positions, (C, C)."""
    import tensorflow as tf

    flat = tf.reshape(features, (-1, features.shape[-1]))
    return tf.matmul(flat, flat, transpose_a=True)


def enter(picture: ImageArray) -> NDArray[np.float32]:
    """Turn RGB in [0, 255] into a batch of BGR minus the mean."""
    return (picture[None, ..., ::-1] - BGR_MEAN).astype(np.float32)


def follow(content: ImageArray, style: ImageArray, limit: float) -> list[tuple[float, ImageArray]]:
    """Run the loop; return every round's seconds and picture.

    As in the tutorial, the painting is stretched to the picture's size. Stops after the round in
    which ``limit`` seconds were over.
    """
    start = time.perf_counter()
    compiled = objective(content, arrays.resize(style, *arrays.size_of(content)))

    def evaluate(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        loss, gradient = compiled(x.reshape(1, *content.shape).astype(np.float32))
        return float(loss), gradient.numpy().ravel().astype(np.float64)

    rounds: list[tuple[float, ImageArray]] = []
    x = enter(content).ravel().astype(np.float64)
    for _ in range(ROUNDS):
        x, _, _ = fmin_l_bfgs_b(evaluate, x, maxfun=EVALUATIONS)
        picture = (x.reshape(content.shape).astype(np.float32) + BGR_MEAN)[..., ::-1]
        rounds.append((time.perf_counter() - start, np.clip(picture, 0, 255)))
        if rounds[-1][0] > limit:
            break
    return rounds


def main() -> None:
    """Paint one pair and print what it took, as JSON."""
    parser = processes.parser_of_pair(__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    arguments = parser.parse_args()
    content, style = (
        decode.read_image(path).pixels for path in (arguments.content, arguments.style)
    )
    content = arrays.resize(content, *arrays.fit(*arrays.size_of(content), arguments.size))
    rounds = follow(content, style, arguments.seconds)
    encode.write_image(rounds[-1][1], arguments.out)
    print(json.dumps({"rounds": len(rounds), "seconds": [seconds for seconds, _ in rounds]}))


if __name__ == "__main__":
    main()
