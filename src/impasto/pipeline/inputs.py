"""Reads and validates the images of a run, and computes its initial image.

Loads no tensor library, so that invalid input fails at once.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from impasto import filearray, files
from impasto.engines import selection
from impasto.errors import ImageError, InputError, SettingError, suggest_names
from impasto.images import arrays, colors, masks, style_regions
from impasto.images.arrays import ImageArray
from impasto.images.formats import decode
from impasto.images.formats.metadata import NO_METADATA, Metadata
from impasto.images.masks import Mask
from impasto.images.style_regions import MaskedStyle, StyledRegion, StyleImage
from impasto.network import weights
from impasto.pipeline import memory, provenance
from impasto.pipeline.provenance import InputSource, Provenance
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe


class Convertible(Protocol):
    """An object that NumPy converts to an array, such as a tensor of any framework."""

    def __array__(self) -> NDArray[Any]:
        """Return an array."""


ImageLike: TypeAlias = decode.ImageSource | Image.Image | NDArray[Any] | Convertible
"""A path, the bytes of a file, a stream of bytes, a Pillow image, an array, or an object that
converts to an array, see :func:`impasto.images.formats.decode.from_array`."""


class Region(NamedTuple):
    """A region of the content image with a style image of its own."""

    mask: ImageLike
    """a gray image of any size, stretched over the content image: white inside the region"""
    style: ImageLike
    style_mask: ImageLike | None = None
    """mask of the part of the style image to use"""


@dataclass(frozen=True)
class Inputs:
    """The input images of a run at their own sizes; masks of the content image at ``size``."""

    content: ImageArray
    """the content image, in gray if only lightness is changed"""
    regions: tuple[StyledRegion, ...]
    original: ImageArray
    """the content image as read"""
    start_style: ImageArray
    """the style image that ``init`` style starts from"""
    memory_inputs: memory.MemoryInputs
    """the data that memory use depends on"""
    keep: Mask | None = None
    """weights of the pixels that stay unchanged"""
    start: ImageArray | None = None
    """the initial image, if it is a file"""
    gray: bool = False
    """whether the run uses gray images only"""
    alpha: Mask | None = None
    """opacity of the content image at its own size; None if it is opaque"""
    metadata: Metadata = NO_METADATA
    """metadata of the content image"""
    sources: tuple[InputSource, ...] = ()
    """the files read, in order"""
    notes: tuple[str, ...] = ()
    """notes for the user, such as that the first frame of an animation is used"""


STARTS: dict[str, Callable[[ImageArray, ImageArray, Recipe], ImageArray]] = {
    "content": lambda content, style, recipe: _blurred_content(content, recipe),
    # Stretched to the photograph's shape: as a start, never as a target.
    "style": lambda content, style, recipe: arrays.resize(style, *arrays.size_of(content)),
    "noise": lambda content, style, recipe: arrays.noise(
        *arrays.size_of(content), recipe.seed, NOISE_AMPLITUDE
    ),
}
"""Initial images as functions of (content, first style, recipe), by the value of ``init``."""

NOISE_AMPLITUDE = 2.0
"""Amplitude of initial noise around middle gray, of 255.

Departure from Gatys et al. 2016, section 2, who start from white noise: noise over the whole range
stays in the result, since features hardly depend on it (benchmarks/NOTES.md).
"""


def _blurred_content(content: ImageArray, recipe: Recipe) -> ImageArray:
    """Return the initial image for ``init`` content.

    Matching starts from a blurred content image (Kolkin et al. 2022), so that fine detail comes
    from the style image. With lower strength, more of the content image is kept.
    """
    if recipe.style_loss != "matching":
        return content
    height, width = arrays.size_of(content)
    small = arrays.resize(content, max(2, height // BLUR_FACTOR), max(2, width // BLUR_FACTOR))
    share = np.float32(min(1.0, 2 * recipe.strength))
    return share * arrays.resize(small, height, width) + (1 - share) * content


BLUR_FACTOR = 8
"""Factor by which the content image is reduced to keep only its large shapes."""


def read_provenance(path: files.AnyPath) -> Provenance:
    """Read the recipe of a result from its file, or from the JSON that ``impasto recipe`` prints.

    Raises ImageError for a file without a recipe, SettingError for a recipe that this version
    does not understand.
    """
    said = _read_json(path)
    packet = decode.read_xmp(path) if said is None else b""
    try:
        return provenance.from_xmp(packet) if said is None else provenance.from_json(said)
    except InputError as error:
        raise type(error)(f"{files.display_path(path)}: {error}") from None


def _read_json(path: files.AnyPath) -> bytes | None:
    """Return the bytes of a file that starts like a JSON object; None for any other file."""
    try:
        with decode.open_source(path) as stream:
            data = stream.read(provenance.MAX_XMP_BYTES)
    except ImageError as error:
        raise ImageError(f"{files.display_path(path)}: {error}") from None
    # A byte order mark may come first, and the zeros of UTF-16, as some shells redirect.
    return data if data.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"{") else None


def finish_settings(image: files.AnyPath) -> dict[str, str | int]:
    """Return the changes to the recipe of a result that enlarge it, see :func:`read_provenance`."""
    longest = max(arrays.size_of(decode.read_image(image).pixels))
    return {"init": os.fspath(image), "finished": longest, "tile": recipes.AUTO}


def load_inputs(
    recipe: Recipe,
    content: ImageLike,
    style: ImageLike | Sequence[ImageLike] | None,
    regions: Sequence[Region | tuple[ImageLike, ...]] = (),
    keep: ImageLike | None = None,
    most: float | None = None,
) -> Inputs:
    """Read the input images, and validate the recipe with them.

    ``most`` is the memory limit in bytes; None for the memory that is free. Raises ImageError or
    SettingError for invalid input.
    """
    weights.NETWORKS[recipe.network].check_layers(recipe.layer_names)
    styles, wanted = _as_list(style), _parse_regions(regions)
    check_style_counts(recipe, len(styles), len(wanted))
    read = _InputLoader()
    loaded = read.load(content, "content", content_limits(recipe, most))
    original = loaded.pixels
    recipe = with_size(recipe, arrays.size_of(original))
    painted = _load_styles(read, recipe, styles, wanted)
    over = arrays.size_of(original)
    covering = [
        read.load_mask(each.mask, f"region {n}, mask", over) for n, each in enumerate(wanted, 1)
    ]
    kept = None if keep is None else read.load_mask(keep, "keep", over)
    start = None if recipe.init in STARTS else read.load_start(recipe.init)
    _check_size(*arrays.size_of(original), recipe.size)
    others = [*covering, *(each for each in (kept, start) if each is not None)]
    work = _memory_inputs(recipe, original, painted, others, len(wanted) + bool(styles))
    _check_memory(work, painted, most)
    found, left = _build_regions(recipe, loaded, painted, wanted, covering, kept, work.result_size)
    gray = recipe.colors == "content"
    found = style_regions.match_region_colors(found, original, recipe.colors)
    is_gray = all(map(arrays.is_gray, (original, *(each.image for each in painted))))
    original = filearray.spill(original)
    # What no region covers comes last.
    opening = next(each for each in found[-1 if styles else 0].styles if each.share)
    return Inputs(
        content=filearray.map_rows(_to_gray, original) if gray else original,
        regions=found,
        original=original,
        start_style=opening.image,
        memory_inputs=work,
        keep=left if left.any() else None,
        start=None if start is None else filearray.spill(start),
        alpha=loaded.alpha,
        metadata=loaded.metadata,
        gray=is_gray,
        sources=tuple(read.sources),
        notes=(*recipes.unused_settings(recipe), *read.notes),
    )


def _to_gray(image: ImageArray) -> ImageArray:
    return colors.gray_from_lightness(colors.lightness(image))


def content_limits(recipe: Recipe, most: float | None) -> decode.SizeLimits:
    """Return the limits for reading the content image.

    The pixel limit is what memory holds if the recipe asks for a large image. If not, it is the
    default limit, since a small file may contain very many pixels.
    """
    if recipe.size != recipes.ORIGINAL and recipe.size**2 <= decode.MAX_PIXELS:
        return decode.DEFAULT_LIMITS
    return decode.SizeLimits(most=max(decode.MAX_PIXELS, memory.readable_pixels(most)))


def with_size(recipe: Recipe, content: tuple[int, int]) -> Recipe:
    """Return the recipe with ``size`` original replaced by a number."""
    if recipe.size != recipes.ORIGINAL:
        return recipe
    return dataclasses.replace(recipe, size=max(content))


def _build_regions(
    recipe: Recipe,
    content: decode.DecodedImage,
    painted: Sequence[StyleImage],
    wanted: Sequence[Region],
    covering: Sequence[Mask],
    kept: Mask | None,
    size: tuple[int, int],
) -> tuple[tuple[StyledRegion, ...], Mask]:
    """Return the regions of an image of ``size``, and the weights of pixels that stay unchanged.

    ``painted`` are all style images, those of the ``wanted`` regions last; ``covering`` are the
    masks of these regions. Raises SettingError if nothing is left to paint.
    """
    covering = [masks.resize_mask(mask, *size) for mask in covering]
    _check_masks_cover_features(recipe, covering, painted, size)
    styles, others = painted[: -len(wanted) or None], painted[len(painted) - len(wanted) :]
    found, left = style_regions.build_regions(
        styles,
        [
            MaskedStyle((*map(_source_key, region[1:]), style.scale), style, mask)
            for region, style, mask in zip(wanted, others, covering, strict=True)
        ],
        np.zeros(size, np.float32) if kept is None else masks.resize_mask(kept, *size),
        None if content.alpha is None else masks.resize_mask(content.alpha, *size),
    )
    if not found:
        raise SettingError("the whole image is kept or transparent: there is nothing to paint")
    return found, left


def _as_list(style: ImageLike | Sequence[ImageLike] | None) -> list[ImageLike]:
    if isinstance(style, list | tuple):
        return list(style)
    return [] if style is None else [cast(ImageLike, style)]


def _source_key(source: ImageLike | None) -> Hashable:
    """Return a key for an image: its path, or the object itself."""
    return os.path.realpath(source) if isinstance(source, str | os.PathLike) else id(source)


def _parse_regions(given: Sequence[Any]) -> list[Region]:
    try:
        regions = [region for region in given if isinstance(region, tuple | list)]
        if len(regions) == len(given):
            return [Region(*region) for region in regions]
    except TypeError:
        pass
    raise SettingError("regions: expected (mask, style) or (mask, style, style mask) for each")


def check_style_counts(recipe: Recipe, styles: int, regions: int) -> None:
    """Raise SettingError if there is no style image, or if counts of values do not match."""
    if not styles + regions:
        raise SettingError("no style image: give one, or one for each region")
    if recipe.finished and recipe.init in STARTS:
        raise SettingError(
            f"finished is {recipe.finished} px, which needs an image file as init, but init "
            f"is {recipe.init}"
        )
    if recipe.blend and not styles:
        raise SettingError("blend needs style images outside regions, and there are none")
    if recipe.blend and len(recipe.blend) != styles:
        raise SettingError(
            f"blend has {len(recipe.blend)} weights for {styles} "
            f"style image{'s' * (styles != 1)}: give one for each"
        )
    if len(recipe.style_scale) not in (1, styles + regions):
        raise SettingError(
            f"style_scale has {len(recipe.style_scale)} numbers for {styles + regions} "
            f"style image{'s' * (styles + regions != 1)}: give one, or one for each"
        )


def _load_styles(
    read: "_InputLoader", recipe: Recipe, styles: Sequence[ImageLike], regions: Sequence[Region]
) -> list[StyleImage]:
    """Read the style images, those of regions last, with weight and scale of each."""
    named = ["style"] if len(styles) == 1 else [f"style {n}" for n, _ in enumerate(styles, 1)]
    found = [_style_of(read.load(each, name)) for each, name in zip(styles, named, strict=True)]
    found += [_load_region(read, each, f"region {n}") for n, each in enumerate(regions, 1)]
    scales = recipe.style_scale * (len(found) if len(recipe.style_scale) == 1 else 1)
    shares = (*(recipe.blend or (1.0,) * len(styles)), *(1.0 for _ in regions))
    return [
        dataclasses.replace(style, share=share, scale=scale)
        for style, share, scale in zip(found, shares, scales, strict=True)
    ]


def _load_region(read: "_InputLoader", region: Region, role: str) -> StyleImage:
    style = _style_of(read.load(region.style, f"{role}, painting"))
    if region.style_mask is None:
        return style
    size = arrays.size_of(style.image)
    part = masks.resize_mask(read.load_mask(region.style_mask, f"{role}, style mask", size), *size)
    whole = np.float32(1) if style.mask is None else style.mask
    if not (part * whole).max() > masks.FAINT:
        raise SettingError(
            f"{role}: the style mask covers no opaque part of the style image: cover more"
        )
    return dataclasses.replace(style, mask=part * whole)


def _style_of(loaded: decode.DecodedImage) -> StyleImage:
    """Return a style image whose transparent parts have no weight."""
    return StyleImage(loaded.pixels, mask=loaded.alpha)


def _check_masks_cover_features(
    recipe: Recipe, covering: Sequence[Mask], painted: Sequence[StyleImage], size: tuple[int, int]
) -> None:
    """Raise SettingError for a mask that covers no position of the deepest layer."""
    network = weights.NETWORKS[recipe.network]
    deepest = max((name for name, _ in recipe.style_layers), key=network.stride)
    stride = network.stride(deepest)
    looked_at = [("the mask of region", mask) for mask in covering]
    for style in painted:
        if style.mask is not None:
            seen = style_regions.style_size(style, size[0] * size[1])
            looked_at.append(("a style mask", masks.resize_mask(style.mask, *seen)))
    for number, (name, mask) in enumerate(looked_at, start=1):
        height, width = mask.shape
        if not masks.covers_a_position(mask, height // stride, width // stride):
            which = f"{name} {number}" if number <= len(covering) else name
            raise SettingError(
                f"{which} covers no position of {deepest}, which has a stride of {stride} px, at "
                f"{width} x {height} px: cover more, choose a larger size or shallower style_layers"
            )


def _check_size(height: int, width: int, size: int) -> None:
    """Raise SettingError for a ``size`` at which the content image is too narrow or too large."""
    painted = arrays.fit(height, width, size)
    if min(painted) < arrays.MIN_SIDE:
        least = math.ceil(arrays.MIN_SIDE * max(height, width) / min(height, width))
        raise SettingError(
            f"size {size} makes the content image {painted[1]} x {painted[0]} px: at least "
            f"{arrays.MIN_SIDE} px are needed on the short side, so use size {least} or more"
        )


def _memory_inputs(
    recipe: Recipe,
    content: ImageArray,
    painted: Iterable[StyleImage],
    others: Iterable[ImageArray | Mask],
    count: int,
) -> memory.MemoryInputs:
    return memory.MemoryInputs(
        content_size=arrays.size_of(content),
        size=recipe.size,
        styles=tuple((math.prod(each.image.shape[:2]), each.scale) for each in painted),
        other_pixels=tuple(math.prod(each.shape[:2]) for each in others),
        region_count=count,
        evaluations=recipe.evaluations,
        colors=recipe.colors,
        style_loss=recipe.style_loss,
        optimizer=recipe.optimizer,
        features=memory.features_of(selection.choose_engine(recipe), recipe.precision),
        tile=recipe.tile,
    )


def _check_memory(
    work: memory.MemoryInputs, painted: Sequence[StyleImage], most: float | None
) -> None:
    """Raise SettingError for a size or a style scale that does not fit into memory."""
    memory.check_disk(work)
    unscaled = [(own, min(1.0, scale)) for own, scale in work.styles]
    memory.plan_tiles(dataclasses.replace(work, styles=tuple(unscaled)), most)
    try:
        memory.plan_tiles(work, most)
    except SettingError:
        area = math.prod(work.result_size)
        largest = max(painted, key=lambda each: math.prod(style_regions.style_size(each, area)))
        height, width = style_regions.style_size(largest, area)
        raise SettingError(
            f"style_scale {largest.scale:g} makes a style image {width} x {height} px, which does "
            "not fit into memory: choose a smaller value"
        ) from None


def start_image(inputs: Inputs, content: ImageArray, recipe: Recipe) -> ImageArray:
    """Return the initial image of the first level, with the size of ``content``."""
    if inputs.start is not None:
        return arrays.resize(inputs.start, *arrays.size_of(content))
    return STARTS[recipe.init](content, inputs.start_style, recipe)


class _InputLoader:
    """Reads images and masks by their roles, and collects their sources and notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.sources: list[InputSource] = []

    def load(
        self, source: ImageLike, role: str, limits: decode.SizeLimits = decode.DEFAULT_LIMITS
    ) -> decode.DecodedImage:
        """Read an image; add a note if it is nearly black."""
        loaded = self._load(source, role, limits, strict=True)
        if (most := float(loaded.pixels.max())) < masks.FAINTEST:
            self._note(
                f"{_named(source, role)}: nearly black, its brightest value is {most:.3g} of 255"
            )
        return loaded

    def load_mask(self, source: ImageLike, role: str, over: tuple[int, int]) -> Mask:
        """Read a mask for an image of size ``over``, (height, width)."""
        named = _named(source, role)
        loaded = self._load(source, role, decode.ANY_SIZE, strict=False)
        try:
            mask, notes = masks.mask_from_image(loaded.pixels, loaded.alpha)
        except ValueError as error:
            raise ImageError(f"{named}: {error}") from None
        for note in (*notes, *masks.aspect_note(mask, *over)):
            self._note(f"{named}: {note}")
        return mask

    def _load(
        self, source: ImageLike, role: str, limits: decode.SizeLimits, strict: bool
    ) -> decode.DecodedImage:
        loaded = load_image(source, role, limits, strict)
        for note in loaded.notes:
            self._note(note)
        self.sources.append(_make_source(source, role, loaded))
        return loaded

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def load_start(self, init: str) -> ImageArray:
        try:
            return self.load(init, "init").pixels
        except ImageError as error:
            if os.path.exists(init) or os.path.splitext(init)[1]:
                raise SettingError(f"init: {error}") from None
            raise SettingError(
                f"init is {init!r}, which is not a file: {suggest_names(init, STARTS)}"
            ) from None


def _named(source: ImageLike, role: str) -> str:
    return files.display_path(source) if isinstance(source, str | os.PathLike) else role


def _make_source(source: ImageLike, role: str, loaded: decode.DecodedImage) -> InputSource:
    if isinstance(source, str | os.PathLike):
        return InputSource(role, os.path.basename(source), provenance.hash_of_file(source))
    arrays = [loaded.pixels, *(() if loaded.alpha is None else (loaded.alpha,))]
    data = b"".join(each.tobytes() for each in arrays) if arrays[1:] else arrays[0].data.cast("B")
    return InputSource(role, type(source).__name__, provenance.hash_of(data))


def load_image(
    source: ImageLike,
    role: str,
    limits: decode.SizeLimits = decode.DEFAULT_LIMITS,
    strict: bool = True,
) -> decode.DecodedImage:
    """Read an image from any supported input; notes and errors start with its file or role.

    Raises ImageError for an invalid image or one beyond ``content_limits``. ``strict`` uses the
    value range of an image instead of that of a mask.
    """
    if isinstance(source, str | os.PathLike):
        return decode.read_image(source, limits)
    if isinstance(source, bytes | bytearray | memoryview) or hasattr(source, "read"):
        return decode.read_image(cast(decode.ImageSource, source), limits, role)
    try:
        if isinstance(source, Image.Image):
            loaded = decode.from_pillow(source, limits)
        else:
            loaded = decode.from_array(_as_array(source), limits, strict)
    except ValueError as error:
        raise ImageError(f"{role}: {error}") from None
    notes = tuple(f"{role}: {note}" for note in loaded.notes)
    return dataclasses.replace(loaded, notes=notes)


def _as_array(source: Any) -> NDArray[Any]:
    """Return an array from an array or an object that converts to one, such as a tensor."""
    role = type(source).__name__
    if not isinstance(source, np.ndarray) and not hasattr(source, "__array__"):
        raise ImageError(f"expected a path, bytes, a Pillow image or an array, not {role}")
    try:
        return source if np.ma.isMaskedArray(source) else np.asarray(source)
    except Exception as error:  # frameworks raise what they like, for what lies on a GPU and so on
        reason = files.error_reason(error)
        raise ImageError(f"{role} cannot be converted to a NumPy array ({reason})") from None
