"""What the progress bar shows, and the time left."""

import io
import re

import pytest

from impasto.optimizers.solver import StopReason
from impasto.pipeline import progress
from impasto.pipeline.events import LevelFinished, LevelStarted, Step
from impasto.pipeline.pyramid import Level

LEVELS = (Level(1, 10, 20, 4), Level(2, 20, 40, 2))
TERMS = {"content": 0.125, "style": 0.25, "tv": 0.0}


def step(level, evaluation):
    return Step(level, evaluation, 0.5, TERMS, 1.0, None, lambda: None)


def started(level):
    return LevelStarted(level, 2, 10, 20, 4, None)


def terminal_of(width):
    return progress.Console(force_terminal=True, width=width, record=True, file=io.StringIO())


@pytest.fixture
def terminal():
    return terminal_of(80)


def last_line(terminal):
    """The bar as it was shown last; it is taken away at the end."""
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.file.getvalue())
    return [line for line in re.split(r"[\r\n]+", plain) if line.strip()][-1]


def test_the_bar_shows_level_evaluation_percentage_and_time_left(terminal):
    with progress.progress_bar(terminal) as bar:
        bar.begin("", LEVELS)
        bar.show(started(1))
        bar.show(step(1, 2))
        bar.show(step(1, 3))
    shown = last_line(terminal)
    assert "level 1/2, evaluation 3/4" in shown
    assert " 25% " in shown  # 3 x 200 of 4 x 200 + 2 x 800 px
    assert re.search(r"\d s left", shown)
    assert "loss" not in shown


@pytest.mark.parametrize("count", [1, 140])
@pytest.mark.parametrize(("width", "long"), [(80, 20), (200, 40)])
def test_the_bar_is_long_enough_whatever_stands_beside_it(width, long, count):
    terminal = terminal_of(width)
    with progress.progress_bar(terminal, count) as bar:
        for _ in range(count - 1):
            bar.end()
        bar.begin("a photograph whose name alone would fill most of a line.jpeg", LEVELS)
        bar.show(started(2))
        bar.show(step(2, 1))
        bar.left.last_end -= 4000
        bar.show(step(2, 2))
    shown = last_line(terminal)
    assert len(re.findall("[━╸╺]", shown)) == long
    assert len(shown) <= width
    assert "100%" in shown
    assert "level 2/2" in shown
    assert "140/140 a" in shown or count == 1
    assert shown.rstrip().endswith("left")


def test_losses_are_printed_where_they_are_asked_for_a_line_each(terminal):
    with progress.progress_bar(terminal, losses=True) as bar:
        bar.begin("", LEVELS)
        bar.show(started(1))
        bar.show(step(1, 3))
    line = "level 1, evaluation 3: loss 0.5 (content 0.125, style 0.25, tv 0)"
    assert line in terminal.export_text()


def test_an_early_end_is_told_and_an_ordinary_one_is_not(terminal):
    with progress.progress_bar(terminal) as bar:
        bar.begin("", LEVELS)
        bar.show(started(1))
        bar.show(LevelFinished(1, 10, 20, 4, 1.0, StopReason.BUDGET))
        bar.show(LevelFinished(2, 20, 40, 1, 1.0, StopReason.STALLED))
        bar.show(LevelFinished(2, 20, 40, 2, 1.0, StopReason.STOPPED))
    shown = terminal.export_text()
    assert "level 2: no further progress after 1 evaluation\n" in shown
    assert "level 2: stopped after 2 evaluations\n" in shown
    assert "all evaluations" not in shown


def test_where_nobody_sees_it_there_is_no_bar():
    nowhere = progress.Console(force_terminal=False, width=100, record=True, file=io.StringIO())
    with progress.progress_bar(nowhere) as bar:
        bar.begin("", LEVELS)
        bar.show(started(1))
        bar.show(step(1, 1))
    assert nowhere.export_text() == ""


def test_of_several_pictures_the_percentage_and_the_time_left_are_of_all(terminal):
    with progress.progress_bar(terminal, count=2) as bar:
        bar.begin("one.jpg", LEVELS)
        bar.end()  # skipped, or failed before its first level
        bar.begin("two.jpg", LEVELS)
        bar.show(started(2))
        bar.show(step(2, 1))
    shown = last_line(terminal)
    assert "2/2 two.jpg" in shown
    assert "level 2/2" in shown
    assert " 83% " in shown  # the first, and 4 x 200 + 800 of 2,400 px
    left = progress.TimeEstimate(LEVELS, [40, 60])
    assert (left.seconds(), left.seconds(further=1)) == (100, 200)


def test_the_work_done_goes_with_the_pixels():
    left = progress.TimeEstimate(LEVELS)
    left.note(started(2))
    assert left.done == 10 * 20 * 4
    left.note(step(2, 2))
    assert left.progress == 1


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(progress.time, "perf_counter", lambda: self.now)

    def steps(self, left, level, evaluations, seconds):
        for evaluation in evaluations:
            self.now += seconds
            left.note(step(level, evaluation))


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_the_first_evaluation_of_a_level_which_may_compile_does_not_count(clock):
    left = progress.TimeEstimate(LEVELS)
    left.note(started(1))
    clock.steps(left, 1, [1], 60)
    assert left.in_words() == ""
    clock.steps(left, 1, [2, 3], 2)
    assert left.seconds() == pytest.approx(2 + 2 * 8)  # 200 px in two seconds, 1800 px are left
    assert left.in_words() == "18 s left"
    left.note(started(2))
    clock.steps(left, 2, [1], 60)
    assert left.seconds() == pytest.approx(8)  # of 800 px, as fast as before
    clock.steps(left, 2, [2], 9)
    assert left.in_words() == "0 s left"


def test_the_time_left_of_resumed_work_is_estimated_from_where_it_was_resumed(clock):
    left = progress.TimeEstimate(LEVELS)
    left.note(started(1))
    assert left.in_words() == ""
    clock.steps(left, 1, [3, 4], 10)
    assert left.seconds() == pytest.approx(80)


def test_what_is_expected_is_the_time_left_until_the_speed_is_known(clock):
    left = progress.TimeEstimate(LEVELS, [10, 90])
    assert left.seconds() == 100
    left.note(started(1))
    clock.steps(left, 1, [1], 60)
    assert left.seconds() == pytest.approx(97.5)
    clock.steps(left, 1, [2, 3, 4], 10)  # four times as long as expected
    assert left.progress == pytest.approx(0.1)
    assert left.seconds() == pytest.approx(90 * (30 + 5) / (7.5 + 5))


def test_a_level_that_ended_early_does_not_count_as_speed(clock):
    left = progress.TimeEstimate(LEVELS, [50, 50])
    left.note(started(1))
    clock.steps(left, 1, [1, 2], 12.5)
    left.note(started(2))
    clock.steps(left, 2, [1], 25)
    assert left.progress == 0.75
    assert left.seconds() == pytest.approx(25)
