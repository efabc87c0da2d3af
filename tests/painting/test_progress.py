"""What whoever watches sees."""

import io
import re

import pytest

from impasto.optimizers.solver import Reason
from impasto.painting import progress
from impasto.painting.events import LevelFinished, LevelStarted, Step
from impasto.painting.pyramid import Level

LEVELS = (Level(1, 10, 20, 4), Level(2, 20, 40, 2))
TERMS = {"content": 0.125, "style": 0.25, "tv": 0.0}


def step(level, evaluation):
    return Step(level, evaluation, 0.5, TERMS, 1.0, None, lambda: None)


@pytest.fixture
def terminal():
    return progress.Console(force_terminal=True, width=100, record=True)


def test_the_bar_shows_level_evaluation_losses_and_time_left(terminal):
    with progress.shown(terminal) as bar:
        bar.begin("", LEVELS)
        bar.show(LevelStarted(1, 2, 10, 20, 4, None))
        bar.show(step(1, 3))
    shown = terminal.export_text()
    assert "level 1/2" in shown
    assert "evaluation 3/4" in shown
    assert "loss 0.5 content 0.12 style 0.25 tv 0" in shown
    assert re.search(r"\d s left", shown)


def test_an_early_end_is_told_and_an_ordinary_one_is_not(terminal):
    with progress.shown(terminal) as bar:
        bar.begin("", LEVELS)
        bar.show(LevelStarted(1, 2, 10, 20, 4, None))
        bar.show(LevelFinished(1, 10, 20, 4, 1.0, Reason.BUDGET))
        bar.show(LevelFinished(2, 20, 40, 1, 1.0, Reason.STALLED))
    shown = terminal.export_text()
    assert "level 2: no further progress after 1 evaluations" in shown
    assert "all evaluations" not in shown


def test_where_nobody_sees_it_there_is_no_bar():
    nowhere = progress.Console(force_terminal=False, width=100, record=True, file=io.StringIO())
    with progress.shown(nowhere) as bar:
        bar.begin("", LEVELS)
        bar.show(LevelStarted(1, 2, 10, 20, 4, None))
        bar.show(step(1, 1))
    assert nowhere.export_text() == ""


def test_of_several_pictures_it_says_which(terminal):
    with progress.shown(terminal, count=2) as bar:
        for name in ("one.jpg", "two.jpg"):
            bar.begin(name, LEVELS)
            bar.show(LevelStarted(1, 2, 10, 20, 4, None))
            bar.show(step(1, 1))
    shown = terminal.export_text()
    assert "2/2 two.jpg level 1/2" in shown


def test_the_work_done_goes_with_the_pixels():
    forecast = progress.TimeLeft(LEVELS)
    forecast.note(LevelStarted(2, 2, 20, 40, 2, None))
    assert forecast.done == 10 * 20 * 4
    forecast.note(step(2, 2))
    assert forecast.done == 10 * 20 * 4 + 20 * 40 * 2
    assert forecast.told() == "0 s left"


def test_the_time_left_of_work_gone_on_with_is_reckoned_from_where_it_goes_on():
    forecast = progress.TimeLeft(LEVELS)
    forecast.note(LevelStarted(1, 2, 10, 20, 4, None))
    assert forecast.told() == ""
    forecast.note(step(1, 3))
    forecast.at_level_start -= 10  # one evaluation of 200 px in ten seconds, 1800 px are left
    assert forecast.told() == "1.5 min left"
