"""Settings by name, for editors and type checkers.

``make docs`` generates this file from the fields of ``Recipe`` in ``settings.py``.
"""

from __future__ import annotations

import os
from typing import Literal, TypedDict

from impasto.recipe.values import LayersLike, NumbersLike


class Settings(TypedDict, total=False):
    """Settings by name; a recipe validates and converts the values."""

    size: int | str
    """Longest side of the result; the aspect ratio is kept. The value original uses the size of the
    content image. (16 to 65,536 px, or original; default 512)"""

    content_layers: LayersLike
    """Layers of the content loss: NAME or NAME=WEIGHT. (default block4_conv2)"""

    style_layers: LayersLike
    """Layers of the style loss: NAME or NAME=WEIGHT. (default block1_conv1, block1_conv2,
    block2_conv1, block2_conv2, block3_conv1, block3_conv2, block3_conv3, block4_conv1,
    block4_conv2, block4_conv3 with matching, else block1_conv1=0.5, block2_conv1, block3_conv1,
    block4_conv1, block5_conv1=0.1)"""

    blend: NumbersLike
    """Weights of the style images, one for each; equal by default. (0 or more)"""

    style_scale: NumbersLike
    """Size of the style images relative to the result; larger values give larger strokes. One
    number, or one for each style image, those of regions last. (0.1 to 10; default 1)"""

    colors: Literal["style", "content", "match"]
    """Colors of the result: style, those of the style images; content, those of the content image,
    by changing only lightness; match, those of style images whose color mean and covariance are
    first matched to the content image. (one of style, content, match; default style)"""

    strength: float | str
    """How far the result moves from the content image (0) to the style alone (1). At 0.5 the
    weights apply as given. With matching, 1 also allows shapes of the style image. (0 to 1; default
    0.5)"""

    content_weight: float | str
    """Weight of the content loss. (0 or more; default 0 with matching, else 1)"""

    style_weight: float | str
    """Weight of the style loss. (0 or more; default 1 with matching, else 10)"""

    tv_weight: float | str
    """Weight of the total variation loss, which smooths the result. (0 or more; default 0 with
    matching, else 1)"""

    style_loss: Literal["matching", "gram", "moments", "wasserstein", "neighbors"]
    """Style loss: matching, features of all layers at a position against their nearest neighbor in
    the style image, searched once per level; gram, Gram matrices (Gatys et al.); moments, Gram
    matrices, channel means and deviations; wasserstein, Wasserstein distance between Gaussians of
    the same moments; neighbors, nearest neighbors per layer, searched at every evaluation. (one of
    matching, gram, moments, wasserstein, neighbors; default matching)"""

    loss_scale: Literal["relative", "absolute"]
    """Normalization of the losses: relative to the size of their targets, so that weights mean the
    same for every style image, or absolute, as in the paper. (one of relative, absolute; default
    relative)"""

    strips: int | str
    """Number of overlapping vertical strips whose moments are compared besides those of the whole
    image, so that no side keeps the content image's look. 1 compares only the whole image. Matching
    compares every position and needs 1. (1 to 16; default 1 with matching, else 4)"""

    init: str | os.PathLike[str]
    """Initial image: content, style, noise, or the path of an image file. (default content)"""

    optimizer: Literal["lbfgs", "scipy", "adam"]
    """Optimizer: L-BFGS, SciPy's L-BFGS over pixels, or Adam. (one of lbfgs, scipy, adam; default
    lbfgs)"""

    levels: int | str
    """Number of sizes in the coarse-to-fine schedule, each about twice the one before. 1 uses the
    final size only; 0 chooses by the size. (0 to 12; default 0)"""

    finished: int | str
    """Longest side of the initial image if it is a finished result, so that only larger levels run;
    0 if it is not. --finish sets it. (0 to 65,536 px; default 0)"""

    structure_size: int | str
    """Longest side up to which levels of matching determine structure; larger levels only sharpen
    the strokes. (16 to 65,536 px; default 512)"""

    evaluations: int | str
    """Evaluations of loss and gradient at the finest level. Coarser levels, which are cheaper, get
    more, and levels of more than twice the structure size fewer. (1 to 1,000,000; default 4 with
    matching, else 12)"""

    seed: int | str
    """Random seed. (0 to 4,294,967,295; default 0)"""

    network: Literal["vgg16", "vgg19"]
    """Network that computes features. (one of vgg16, vgg19; default vgg16)"""

    activations: Literal["published", "normalized"]
    """Weights of the network as published, or normalized as in the paper: rescaled so that the mean
    activation of each channel over a set of photos is 1. (one of published, normalized; default
    published)"""

    pooling: Literal["max", "avg"]
    """Pooling between the blocks of the network. (one of max, avg; default max)"""

    padding: Literal["replicate", "zero"]
    """Padding of convolutions: replicate repeats the values at the edge; zero, as in the paper,
    leaves a frame in the result. (one of replicate, zero; default replicate)"""

    engine: Literal["auto", "native", "keras"]
    """Engine: native uses compiled kernels on the CPU; keras uses the backend that the environment
    variable KERAS_BACKEND names. auto chooses keras on a GPU, for bfloat16, and if the kernels are
    not built, else native. (one of auto, native, keras; default auto)"""

    precision: Literal["auto", "float32", "bfloat16"]
    """Number format of the features. auto uses bfloat16 on a GPU and float32 elsewhere. The native
    engine always uses float32. (one of auto, float32, bfloat16; default auto)"""

    tile: int | str
    """Side of the tiles that a larger image is processed in, to limit memory. whole uses no tiles.
    auto uses tiles only if the image does not fit into memory, as large as fit. (128 to 65,536 px,
    or auto, or whole; default auto)"""
