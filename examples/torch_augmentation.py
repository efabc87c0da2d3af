"""Style transfer as data augmentation for PyTorch, against a bias of networks toward texture.

After Geirhos et al. 2019, "ImageNet-trained CNNs are biased towards texture": images with the
textures of paintings keep the shapes that their labels depend on.

    pip install impasto torch
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

import impasto


class StyleAugmentation(Dataset[tuple[torch.Tensor, Any]]):
    """A dataset some of whose images are painted in the style of a random style image."""

    def __init__(
        self,
        images: Dataset[tuple[torch.Tensor, Any]],
        styles: Sequence[impasto.ImageLike],
        *,
        probability: float = 0.5,
        strength: tuple[float, float] = (0.3, 0.7),
        seed: int = 0,
        **settings: Any,
    ) -> None:
        """Wrap a dataset.

        Args:
            images: dataset of (image, label), images of shape (3, height, width) in [0, 1]
            styles: style images
            probability: fraction of images that are painted
            strength: range of the strength
            seed: seed of the choices, which depend only on it and on the index
            settings: settings of impasto, such as ``evaluations``
        """
        self.images, self.styles = images, styles
        self.probability, self.strength, self.seed = probability, strength, seed
        self.settings = {"evaluations": 4, "engine": "native", **settings}
        self._stylizer: impasto.Stylizer | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        """Return an image, painted or not, and its label."""
        image, label = self.images[index]
        choice = random.Random(f"{self.seed} {index}")
        if choice.random() >= self.probability:
            return image, label
        style, strength = choice.choice(self.styles), choice.uniform(*self.strength)
        if self._stylizer is None:  # each worker process of a DataLoader has its own
            self._stylizer = impasto.Stylizer(**self.settings)
        size = max(image.shape[1:])
        recipe = replace(self._stylizer.recipe, size=size, strength=strength)
        content = (image.clamp(0, 1) * 255).permute(1, 2, 0).to(torch.uint8).numpy()
        result = self._stylizer(content, style, recipe=recipe)
        pixels = np.ascontiguousarray(result.pixels.transpose(2, 0, 1)) / np.float32(255)
        return torch.from_numpy(pixels), label
