"""The interface of an engine."""

from collections.abc import Sequence
from typing import Any, Protocol

from impasto.losses.kinds import Kind
from impasto.losses.objective import Step
from impasto.losses.terms import Features
from impasto.losses.tiled import TileSteps
from impasto.network.weights import Network
from impasto.pictures.raster import Picture
from impasto.recipe.settings import Recipe


class Engine(Protocol):
    """A frozen network, and the losses of its features with their gradients."""

    @property
    def backend(self) -> str:
        """``native``, or the backend that Keras runs on: tensorflow, jax or torch."""
        ...

    @property
    def precision(self) -> str:
        """The number format of the features, float32 or bfloat16."""
        ...

    @property
    def instruction_set(self) -> str:
        """The instruction set of the compiled kernels; empty for Keras."""
        ...

    @property
    def network(self) -> Network:
        """The network whose weights are used."""
        ...

    def check(self) -> None:
        """Raise BackendError where this process cannot compute with it, as after a fork."""
        ...

    def features(self, layers: Sequence[str]) -> Features:
        """Return the function from an image (height, width, 3) to its features by layer.

        They are float32: NumPy arrays, or tensors on a GPU.
        """
        ...

    def step(self, recipe: Recipe, kind: Kind) -> Step:
        """Return the total loss of a recipe and its gradient, for all levels of a kind."""
        ...

    def tile_steps(self, recipe: Recipe, kind: Kind) -> TileSteps:
        """Return the same for an image that is processed in tiles."""
        ...

    def place(self, arrays: Any) -> Any:
        """Return any nesting of dicts, lists and tuples of arrays as the steps take them."""
        ...

    def place_image(self, image: Picture) -> Any:
        """Return an image where solvers work on it: a tensor on a GPU, else as it is."""
        ...
