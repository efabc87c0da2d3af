"""The interface of an engine."""

from collections.abc import Sequence
from typing import Any, Protocol

from impasto.images.arrays import ImageArray
from impasto.losses.level_roles import LevelRole
from impasto.losses.objective import StepFunction
from impasto.losses.terms import Features
from impasto.losses.tiled import CompiledTileFns
from impasto.network.weights import Network
from impasto.recipe.settings import Recipe


class Engine(Protocol):
    """Computes features of a frozen network, losses of these features, and their gradients.

    ``NativeEngine``: C kernels and explicit gradients in NumPy. ``KerasEngine``: a Keras model and
    automatic differentiation.
    """

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
        """The network."""
        ...

    def check_usable(self) -> None:
        """Raise BackendError if this process cannot use the engine, for example after a fork."""
        ...

    def feature_function(self, layers: Sequence[str]) -> Features:
        """Return the function from an image to its features by layer.

        Args:
            layers: the layers to compute

        Returns:
            (image RGB in [0, 255] (height, width, 3), reduce=None) -> features (height', width', C)
            by layer, float32 NumPy arrays or tensors on a GPU; see ``terms.Features``.
        """
        ...

    def compile_step(self, recipe: Recipe, role: LevelRole) -> StepFunction:
        """Return the function that computes total loss and gradient of a whole image.

        Args:
            recipe: the settings of the losses
            role: the role of the levels to use it for

        Returns:
            (image RGB in [0, 255] float32 (height, width, 3), targets of the image from
            :meth:`place`) -> total, unweighted losses by term, gradient of the total with the shape
            and the array type of the image.
        """
        ...

    def compile_tile_fns(self, recipe: Recipe, role: LevelRole) -> CompiledTileFns:
        """Return the loss, its gradient and its sums as functions of a tile.

        Args:
            recipe: the settings of the losses
            role: the role of the levels to use them for

        Returns:
            The functions, see ``tiled.CompiledTileFns``; arrays in their inputs are from
            :meth:`place`.
        """
        ...

    def place(self, arrays: Any) -> Any:
        """Convert constants of the compiled functions, such as targets and weights.

        Args:
            arrays: a nested structure of NumPy arrays or tensors

        Returns:
            The same structure with tensors on the device; with the native engine unchanged.
        """
        ...

    def place_image(self, image: ImageArray) -> Any:
        """Convert an image for a solver, whose vectors stay where the image is.

        Args:
            image: float32 (height, width, channels), in memory or in a file

        Returns:
            A tensor if the engine uses a GPU; on a CPU, with either engine, the image unchanged.
        """
        ...
