"""Paints the frames of a shot after its first one: a function of the memory of the shot.

The first frame is painted in full. Of each later one, most pixels are sampled from the frame in
which they were painted first. Only what is new, what was uncovered lately, and what no longer fits
its match is painted, in boxes around it. The objective is a change of variables,

    x = k m + (1 - k) z,

with m the sampled image, z the variable of the solver and k the *kept* part of each pixel, instead
of a penalty λ Σ c (x - m)² as in Ruder, Dosovitskiy and Brox 2016. With a stiff penalty, the few
evaluations are used up by line searches against it, and holes stay unpainted.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.compute import threads
from impasto.compute.arrays import to_numpy
from impasto.images import arrays, masks, style_regions
from impasto.images.arrays import ImageArray, Mask
from impasto.images.style_regions import StyledRegion
from impasto.losses import feature_index, match_search, objective, style_index, voting
from impasto.losses.hypercolumns import GRID_STRIDE
from impasto.losses.level_roles import LevelRole
from impasto.losses.level_targets import LevelTargets
from impasto.losses.match_search import MatchIndexes
from impasto.losses.matching import MatchingTerm
from impasto.losses.style import LayerwiseTerm, PairTarget
from impasto.losses.terms import LevelInputs, Target, TargetTile, TiledFeatureExtractor
from impasto.losses.tiles import Box
from impasto.losses.voting import Votes
from impasto.optimizers.registry import SOLVERS
from impasto.pipeline.pyramid import Level
from impasto.pipeline.run import Run
from impasto.video import births as birth_maps
from impasto.video import boxes, frame_plan, motion, stillness
from impasto.video import matches as shot_matches
from impasto.video.births import ENTERED, FILLED, SETTLED, Birth, BirthMap
from impasto.video.matches import Matched, RegionSearch
from impasto.video.motion import Correspondence

COARSE_EVALUATIONS = 5
"""Evaluations of a hole at each coarser size."""

FINE_EVALUATIONS = 5
"""Evaluations of a box at the finest size. Departure from a frame painted by itself: there is no
feature splitting, which made nothing better here and took 40 % of the time."""

KEPT_FROM, KEPT_TO = 0.25, 0.6
"""Confidence from which a pixel is partly kept, and to which it becomes kept in full."""

FILLED_FREEDOM = 0.7
"""How far pixels that were filled change when they are painted, in [0, 1]: what they show is
steady already."""

CHANGED = 0.05
"""Freedom from which a painted pixel is born again."""


@dataclass(frozen=True, eq=False)
class ShotMemory:
    """Everything that the next frame of a shot depends on, as a value."""

    number: int
    """number of the last frame"""
    anchor: ImageArray
    """the shot's first content frame, which all statistics of the shot are computed from"""
    anchor_painted: ImageArray
    """the same frame, painted"""
    photo: ImageArray
    """the last content frame"""
    reference: ImageArray
    """each pixel of the content as last painted"""
    painted: ImageArray
    """the last painted frame, unclipped"""
    births: BirthMap
    records: Mapping[int, Birth]
    """the frames of birth by number"""
    scales: Mapping[int, float]
    """by level, see ``Solver.curvature_scale``"""
    masks: Mapping[str, Mask] = field(default_factory=dict)
    """the masks of the last frame by name: ``keep``, and ``region-N`` for each region"""
    fading: ImageArray | None = None
    """the last painted frame of the shot before, moved along, while a dissolve lasts"""


class FrameRegions(NamedTuple):
    """The regions of a frame."""

    regions: tuple[StyledRegion, ...]
    """as many as the run of the shot's first frame has"""
    keep: Mask | None = None
    """weights of the pixels that stay unchanged"""
    masks: Mapping[str, Mask] = {}
    """the masks that these follow from, by name; those of the frame before are in the memory"""


class FrameReport(NamedTuple):
    """Measurements of a painted frame."""

    confidence: float
    """share of the frame with a trusted correspondence"""
    still: float
    """share of the pixels that keep their bytes"""
    painted: float
    """share of the frame in the painted boxes"""


class _TrackedFrame(NamedTuple):
    """A frame as far as it is known from those before, without painting."""

    found: Correspondence
    """correspondence with the frame before; recovered pixels have that with their frame of birth"""
    births: BirthMap
    direct: Mask
    """confidence of the direct flow to the frames of birth"""
    moved: ImageArray
    """the painted image, moved along"""
    still: Mask
    """1 for pixels that keep their bytes"""
    entered: NDArray[np.bool_]
    """pixels that come into this frame from outside"""


class _Stage(NamedTuple):
    """One optimization of a box."""

    level: Level
    evaluations: int
    factor: int
    """1 at the finest size, 2 at half of it"""


@dataclass(eq=False)
class ShotPainter:
    """Paints the frames of a shot. Caches what depends on its first frame only."""

    run: Run
    """the run of the first frame, at the size of the frames"""
    steady: float = 1.0
    """how much is kept of trusted pixels, in [0, 1]"""
    _searches: dict[tuple[LevelRole, int], list[RegionSearch]] = field(default_factory=dict)
    _style_targets: dict[tuple[LevelRole, int], Any] = field(default_factory=dict)
    _stats: dict[tuple[LevelRole, int], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start with the regions of the first frame."""
        self._frame = FrameRegions(self.run.inputs.regions, self.run.inputs.keep)

    # The first frame -------------------------------------------------------------------------

    def begin(
        self,
        number: int,
        content: ImageArray,
        painted: ImageArray,
        scales: Mapping[int, float],
    ) -> ShotMemory:
        """Return the memory after a shot's first frame, which was painted in full."""
        height, width = arrays.size_of(content)
        births = birth_maps.first_births(number, height, width)
        memory = ShotMemory(
            number, content, painted, content, content, painted, births, {}, dict(scales)
        )
        found = self._first_matches(memory)
        return replace(memory, records={number: _record(found, content, painted)})

    def _first_matches(self, memory: ShotMemory) -> list[Matched]:
        """Return the matches of the first frame as it was painted."""
        level = self._finest
        term = self._matching_term(level)
        if term is None:
            return []
        inputs = self._level_inputs(level, 1, memory.anchor, memory.anchor_painted)
        query_image = match_search.mix_query(memory.anchor, memory.anchor_painted, term.query_mix)
        grid = tuple(side // GRID_STRIDE for side in arrays.size_of(memory.anchor))
        found = []
        for search in self._region_searches(level, 1, memory):
            query, _ = shot_matches.query_level(inputs, query_image, term.layers, search.index)
            rows = feature_index.search(query, search.index)
            content, _ = shot_matches.query_level(inputs, memory.anchor, term.layers, search.index)
            scores = search.scores(search.directions(content.coordinates), rows)
            searched = np.ones(grid, bool)
            found.append(
                Matched(rows.astype(np.int32).reshape(grid), scores.reshape(grid), searched)
            )
        return found

    # Later frames ----------------------------------------------------------------------------

    def advance(
        self,
        memory: ShotMemory,
        number: int,
        content: ImageArray,
        frame: FrameRegions | None = None,
    ) -> tuple[ShotMemory, FrameReport]:
        """Paint the next frame, and return the memory after it.

        ``frame`` has its regions; None for those of the first frame.
        """
        self._set_frame(frame or FrameRegions(self.run.inputs.regions, self.run.inputs.keep))
        found = motion.correspond(content, memory.photo)
        confidence = float((found.confidence > birth_maps.TRACKED).mean())
        changed = frame_plan.changed_masks(memory.masks, self._frame.masks, found)
        still = self._still(memory, content, found) * (1 - changed)
        memory = replace(_moved_memory(memory, found), masks=self._frame.masks)
        if still.all():
            return replace(memory, number=number, photo=content), FrameReport(confidence, 1.0, 0.0)
        tracked = _track(memory, content, found, still, changed)
        matched = self._matches(memory, tracked, content)
        births, still = tracked.births, tracked.still
        new = births.age == 0
        waiting = births.age == ENTERED  # entered in an earlier frame
        free = frame_plan.large_areas(self._freedom(tracked, matched), waiting)
        still = still * ~((births.age < 0) & (free > 0))
        empty = new | waiting
        painted, share = self._paint(memory, content, tracked.moved, free, empty, matched)
        painted = np.where(still[..., None] > 0, memory.painted, painted)
        again = (free > CHANGED) & (still == 0)
        filled = new & (free == 0)
        births = birth_maps.painted_now(births, number, again, filled, tracked.entered)
        births, records = _updated_births(
            births, memory.records, number, _record(matched, content, painted)
        )
        reference = np.where(still[..., None] > 0, memory.reference, content)
        memory = replace(
            memory,
            number=number,
            photo=content,
            reference=reference,
            painted=painted,
            births=births,
            records=records,
        )
        return memory, FrameReport(confidence, float(still.mean()), share)

    def _still(self, memory: ShotMemory, content: ImageArray, found: Correspondence) -> Mask:
        if self.steady < 1:
            return np.zeros(arrays.size_of(content), np.float32)
        return stillness.find_still(content, memory.photo, memory.reference, found.flow)

    def _matches(
        self,
        memory: ShotMemory,
        tracked: _TrackedFrame,
        content: ImageArray,
    ) -> list[Matched]:
        """Return the matches of each region; empty for a style loss without matches."""
        level = self._finest
        term = self._matching_term(level)
        if term is None:
            return []
        inputs = self._level_inputs(level, 1, content, None)
        births, direct = tracked.births, tracked.direct
        known = births.age != 0
        matched = []
        for number, search in enumerate(self._region_searches(level, 1, memory)):
            query, _ = shot_matches.query_level(inputs, content, term.layers, search.index)
            carried = shot_matches.carry(births, memory.records, known, direct, number)
            matched.append(shot_matches.resolve(carried, query.coordinates, search))
        return matched

    def _freedom(self, tracked: _TrackedFrame, matched: Sequence[Matched]) -> Mask:
        """Return how far each pixel may change, in [0, 1]: 1 - k."""
        found, births, still = tracked.found, tracked.births, tracked.still
        span = (found.confidence - KEPT_FROM) / (KEPT_TO - KEPT_FROM)
        kept = np.clip(span, 0, 1) * np.sqrt(np.clip(births.age / SETTLED, 0, 1))
        size = found.confidence.shape
        for each in matched:
            kept = kept * (1 - _to_pixels(each.searched.astype(np.float32), size))
        free = 1 - np.maximum(self.steady * kept, still).astype(np.float32)
        free[births.age == FILLED] = FILLED_FREEDOM
        free[births.age == ENTERED] = 1
        if self._frame.keep is not None:
            free *= 1 - masks.resize_mask(self._frame.keep, *size)
        return free

    # Painting boxes --------------------------------------------------------------------------

    def _paint(
        self,
        memory: ShotMemory,
        content: ImageArray,
        moved: ImageArray,
        free: Mask,
        empty: NDArray[np.bool_],
        matched: Sequence[Matched],
    ) -> tuple[ImageArray, float]:
        """Return the frame with its free pixels painted, and the share that was painted.

        Pixels that are ``empty``, without painted content, start from their matches.
        """
        whole = [Box(0, 0, *free.shape)]
        chosen = boxes.find_boxes(free) if self._boxes_allowed else whole * bool(free.max() > 0.02)
        image = moved.copy()
        hole = (empty & (free > 0)).astype(np.float32)
        for box in chosen:
            image[box.slices] = self._paint_box(memory, box, content, moved, free, hole, matched)
        area = sum(box.height * box.width for box in chosen)
        return image, area / free.size

    @property
    def _boxes_allowed(self) -> bool:
        """Whether parts are painted by themselves: losses of global statistics need the whole."""
        unmasked = all(region.mask is None for region in self._frame.regions)
        return unmasked and self._matching_term(self._finest) is not None

    def _paint_box(
        self,
        memory: ShotMemory,
        box: Box,
        content: ImageArray,
        moved: ImageArray,
        free: Mask,
        hole: Mask,
        matched: Sequence[Matched],
    ) -> ImageArray:
        content, image = (np.ascontiguousarray(each[box.slices]) for each in (content, moved))
        free, hole = free[box.slices], hole[box.slices]
        local = [_crop_matched(each, box) for each in matched]
        soft = motion.blur(hole, 1.0)[..., None]
        if local and hole.any():
            searches = self._region_searches(self._finest, 1, memory)
            mosaic = _mosaic(local, searches, self._frame.regions, box, content)
            image = (soft * mosaic + (1 - soft) * image).astype(np.float32)
            for factor in frame_plan.coarse_factors(hole):
                image = self._paint_coarse(memory, factor, content, image, hole, soft)
        keep = (1 - np.clip(motion.blur(free, 0.7), 0, 1) * (free > 0))[..., None]
        whole = box.height * box.width == hole.size and box == Box(0, 0, *moved.shape[:2])
        stage = _Stage(self._finest, FINE_EVALUATIONS, 1)
        targets = self._targets(memory, stage, content, image, local, whole)
        return self._optimize(memory, stage, targets, image, keep)

    def _paint_coarse(
        self,
        memory: ShotMemory,
        factor: int,
        content: ImageArray,
        image: ImageArray,
        hole: Mask,
        soft: NDArray[np.float32],
    ) -> ImageArray:
        """Return a box with its holes painted at a smaller size, as images are: coarse to fine."""
        level = self._coarse_level(factor)
        if level is None:
            return image
        size = tuple(max(arrays.MIN_SIDE, side // factor) for side in hole.shape)
        small, start = (arrays.resample(each, *size) for each in (content, image))
        near = np.clip(2 * motion.blur(hole, 1.5 * factor), 0, 1)
        keep = 1 - masks.resize_mask(near, *size)[..., None]
        stage = _Stage(level, COARSE_EVALUATIONS, factor)
        targets = self._targets(memory, stage, small, start, None, False)
        made = self._optimize(memory, stage, targets, start, keep)
        larger = arrays.resample(made, *hole.shape)
        return (soft * larger + (1 - soft) * image).astype(np.float32)

    def _optimize(
        self,
        memory: ShotMemory,
        stage: _Stage,
        targets: LevelTargets,
        start: ImageArray,
        keep: NDArray[np.float32],
    ) -> ImageArray:
        """Return the image after the evaluations of a stage; ``keep`` is the kept part."""
        run, solver = self.run, SOLVERS[self.run.recipe.optimizer]
        program = run.model.level_program(run.recipe, stage.level.role)
        inner = program.objective(targets, keep_targets=True)
        placed, kept = run.place_image(start), run.place_image(keep)
        task = objective.ConstrainedObjective(inner, placed, kept, run.inputs.gray)
        scale = memory.scales.get(stage.level.number, 0.0)
        state = solver.begin(placed, stage.evaluations, scale, stage.level.preconditioning)
        while state.progress.reason is None:
            state = solver.step(task.evaluate, state)
        threads.give_back_freed_memory()
        best = to_numpy(state.progress.best)
        return np.asarray(masks.blend_kept(keep, start, best), np.float32)

    # Targets ---------------------------------------------------------------------------------

    def _targets(
        self,
        memory: ShotMemory,
        stage: _Stage,
        content: ImageArray,
        start: ImageArray,
        matched: Sequence[Matched] | None,
        whole: bool,
    ) -> LevelTargets:
        """Return the targets of a box: given matches, or searched ones (None)."""
        recipe, level = self.run.recipe, stage.level
        inputs = self._level_inputs(level, stage.factor, content, start)
        terms: dict[str, Callable[[TargetTile], Target]] = {}
        for name, term in objective.total_loss(recipe, level.role).terms.items():
            if isinstance(term, MatchingTerm):
                terms[name] = self._matching_target(memory, stage, term, inputs, matched)
            elif isinstance(term, LayerwiseTerm):
                terms[name] = self._layerwise_target(memory, stage, term, inputs, whole)
            else:
                terms[name] = term.make_target(inputs).for_tile
        return LevelTargets(inputs, terms, objective.term_weights(recipe, level.style))

    def _matching_target(
        self,
        memory: ShotMemory,
        stage: _Stage,
        term: MatchingTerm,
        inputs: LevelInputs,
        matched: Sequence[Matched] | None,
    ) -> Callable[[TargetTile], Target]:
        searches = self._region_searches(stage.level, stage.factor, memory)
        grid = tuple(side // GRID_STRIDE for side in arrays.size_of(inputs.content))
        assert inputs.initial is not None
        query_image = match_search.mix_query(inputs.content, inputs.initial, term.query_mix)
        found, channels = [], dict[str, int]()
        for number, (search, region) in enumerate(zip(searches, inputs.regions, strict=True)):
            if matched is None or not channels:
                query, channels = shot_matches.query_level(
                    inputs, query_image, term.layers, search.index
                )
            if matched is None:
                _, rows = feature_index.search_with_statistics(
                    query.coordinates, search.index, search.statistics
                )
                indexes = rows.astype(np.int32).reshape(grid)
            else:
                indexes = matched[number].indexes
            weights = None if region.mask is None else masks.resize_mask(region.mask, *grid)
            found.append(MatchIndexes(search.index, indexes, weights))
        return term.bind_matches(inputs, found, channels).for_tile

    def _layerwise_target(
        self,
        memory: ShotMemory,
        stage: _Stage,
        term: LayerwiseTerm,
        inputs: LevelInputs,
        whole: bool,
    ) -> Callable[[TargetTile], Target]:
        """Return targets with the shot's statistics; a part has not the moments of the whole."""
        key = stage.level.role, stage.factor
        if key not in self._style_targets:
            size = _scaled(memory.anchor, stage.factor)
            anchor, painted = (
                arrays.resample(each, *size) for each in (memory.anchor, memory.anchor_painted)
            )
            first = self._first_inputs(stage.level, stage.factor, anchor, painted)
            self._style_targets[key] = term.style_targets(first)
            self._stats[key] = term.initial_stats(self._style_targets[key], first)
        targets = self._style_targets[key]
        if not whole:
            targets = [_without_moments(region) for region in targets]
        return term.bind_target(targets, inputs, self._stats[key]).for_tile

    def _level_inputs(
        self, level: Level, factor: int, content: ImageArray, start: ImageArray | None
    ) -> LevelInputs:
        regions = self._regions(factor)
        return LevelInputs(self._extractor(level.role), content, regions, start)

    def _first_inputs(
        self, level: Level, factor: int, content: ImageArray, start: ImageArray
    ) -> LevelInputs:
        """Return the inputs of the first frame, which statistics of the shot are computed from."""
        size = _scaled(self.run.inputs.content, factor)
        regions = style_regions.resize_regions(self.run.inputs.regions, *size)
        return LevelInputs(self._extractor(level.role), content, regions, start)

    def _set_frame(self, frame: FrameRegions) -> None:
        if frame.masks or self._frame.masks:
            self._resized_regions.clear()
        self._frame = frame

    @functools.cached_property
    def _resized_regions(self) -> dict[int, tuple[StyledRegion, ...]]:
        return {}

    def _regions(self, factor: int) -> tuple[StyledRegion, ...]:
        """Return the regions for frames at a size factor."""
        if factor not in self._resized_regions:
            size = _scaled(self.run.inputs.content, factor)
            resized = style_regions.resize_regions(self._frame.regions, *size)
            self._resized_regions[factor] = resized
        return self._resized_regions[factor]

    def _extractor(self, role: LevelRole) -> TiledFeatureExtractor:
        program = self.run.model.level_program(self.run.recipe, role)
        return program.feature_extractor(self.run.plan.tile)

    def _region_searches(self, level: Level, factor: int, memory: ShotMemory) -> list[RegionSearch]:
        """Return the searches of all regions, with the statistics of the shot's first frame."""
        key = level.role, factor
        if key not in self._searches:
            term = self._matching_term(level)
            assert term is not None
            size = _scaled(memory.anchor, factor)
            content, painted = (
                arrays.resample(each, *size) for each in (memory.anchor, memory.anchor_painted)
            )
            image = content
            if factor > 1:  # there the query is mixed with the image so far, as in a still image
                image = match_search.mix_query(content, painted, term.query_mix)
            inputs = self._first_inputs(level, factor, content, painted)
            searches = []
            for region in inputs.regions:
                index = style_index.build_region_index(region, inputs.extractor, term.layers)
                query, _ = shot_matches.query_level(inputs, image, term.layers, index)
                statistics = feature_index.search_statistics(query, index)
                styles = tuple(each.image for each in region.styles if each.weight)
                searches.append(RegionSearch(index, statistics, styles))
            self._searches[key] = searches
        return self._searches[key]

    # Levels ----------------------------------------------------------------------------------

    def _matching_term(self, level: Level) -> MatchingTerm | None:
        term = objective.total_loss(self.run.recipe, level.role).terms["style"]
        return term if isinstance(term, MatchingTerm) else None

    @functools.cached_property
    def _finest(self) -> Level:
        """The first level of the finest size."""
        last = self.run.levels[-1]
        size = last.height, last.width
        return next(each for each in self.run.levels if (each.height, each.width) == size)

    def _coarse_level(self, factor: int) -> Level | None:
        """Return the level of the schedule whose size is nearest to a fraction of the finest."""
        finest = self._finest
        coarser = [each for each in self.run.levels if each.height < finest.height]
        if not coarser:
            return None
        return min(coarser, key=lambda each: abs(each.height * factor - finest.height))


def _track(
    memory: ShotMemory, content: ImageArray, found: Correspondence, still: Mask, changed: Mask
) -> _TrackedFrame:
    """Return a frame as far as it is known from those before.

    Args:
        memory: the memory of the frame before
        content: the content of the frame
        found: its correspondence with the frame before
        still: 1 for pixels that do not change
        changed: 1 for pixels that are in another region than before, which are painted again
    """
    found = Correspondence(found.flow * (1 - still)[..., None], np.maximum(found.confidence, still))
    births = birth_maps.advect(memory.births, found)
    entered = birth_maps.find_entered(births, found)
    still = still * ((births.age >= SETTLED) | (births.age < 0))
    registered = birth_maps.register(births, memory.records, content, still)
    births = registered.births
    births = replace(births, age=np.where(changed > 0, 0, births.age))
    direct = registered.confidence * (1 - changed)
    recovered = np.where(registered.recovered, direct, 0)
    found = found._replace(confidence=np.maximum(found.confidence, recovered))
    before = motion.warp(memory.painted, found.flow)
    sampled = birth_maps.sample_births(births, memory.records, before)
    moved = frame_plan.filter_in_time(sampled, before, births.age == 0, registered.recovered)
    moved = np.where(still[..., None] > 0, memory.painted, moved)
    return _TrackedFrame(found, births, direct, moved, still, entered)


def _updated_births(
    births: BirthMap, records: Mapping[int, Birth], number: int, record: Birth
) -> tuple[BirthMap, dict[int, Birth]]:
    """Return the birth map and the frames of birth after the frame ``number``.

    Pixels of births that cover little are born in this frame instead.
    """
    known = {**records, number: record}
    kept = birth_maps.drop_small(births, known)
    births = birth_maps.born_now(births, number, ~np.isin(births.number, list(kept)))
    if (births.number == number).any():
        kept[number] = record
    return births, kept


def _moved_memory(memory: ShotMemory, found: Correspondence) -> ShotMemory:
    """Return the memory with what moves along the flow without being painted."""
    fading = None if memory.fading is None else motion.warp(memory.fading, found.flow)
    return replace(memory, fading=fading)


def _record(matched: Sequence[Matched], content: ImageArray, painted: ImageArray) -> Birth:
    height, width = (side // GRID_STRIDE for side in arrays.size_of(content))
    indexes = [each.indexes for each in matched] or np.zeros((0, height, width))
    scores = [each.scores for each in matched] or np.zeros((0, height, width))
    photo = np.clip(np.rint(content), 0, 255).astype(np.uint8)
    return Birth(painted, photo, np.array(indexes, np.int32), np.array(scores, np.float32))


def _crop_matched(matched: Matched, box: Box) -> Matched:
    top, left = box.top // GRID_STRIDE, box.left // GRID_STRIDE
    rows = slice(top, top + box.height // GRID_STRIDE)
    columns = slice(left, left + box.width // GRID_STRIDE)
    part = rows, columns
    return Matched(matched.indexes[part], matched.scores[part], matched.searched[part])


def _mosaic(
    matched: Sequence[Matched],
    searches: Sequence[RegionSearch],
    regions: Sequence[StyledRegion],
    box: Box,
    content: ImageArray,
) -> ImageArray:
    """Return the image of the matched patches of the style images."""
    size = arrays.size_of(content)
    total, image = np.zeros((*size, 1), np.float32), np.zeros((*size, 3), np.float32)
    for each, search, region in zip(matched, searches, regions, strict=True):
        positions = search.index.positions[each.indexes]
        colors = voting.average_patches(Votes(positions, search.styles), content)
        weight = np.ones(size, np.float32)
        if region.mask is not None:
            weight = region.mask[box.slices]
        total += weight[..., None]
        image += weight[..., None] * colors
    return np.where(total > 0, image / np.maximum(total, 1e-6), content)


def _to_pixels(cells: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return an array of the grid at the size of the image; what the grid omits is 0."""
    pixels = np.zeros(size, np.float32)
    large = np.repeat(np.repeat(cells, GRID_STRIDE, 0), GRID_STRIDE, 1)
    pixels[: large.shape[0], : large.shape[1]] = large
    return pixels


def _scaled(image: ImageArray, factor: int) -> tuple[int, int]:
    height, width = arrays.size_of(image)
    return (
        (height, width)
        if factor == 1
        else (max(arrays.MIN_SIDE, height // factor), max(arrays.MIN_SIDE, width // factor))
    )


def _without_moments(region: Any) -> Any:
    """Return the target of a region whose moments have no weight."""
    style = {
        layer: target._replace(weight=np.float32(0)) if isinstance(target, PairTarget) else target
        for layer, target in region.style.items()
    }
    return region._replace(style=style)
