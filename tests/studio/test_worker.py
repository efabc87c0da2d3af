"""Commands during the preparation of a job, errors of a job, and the messages of its steps."""

import queue

import numpy as np
import pytest
from PIL import Image

import impasto
from impasto import Recipe
from impasto.errors import ImageError
from impasto.jobs import runner
from impasto.pipeline import forecast, pyramid
from impasto.pipeline.events import LevelStarted, Step
from impasto.pipeline.inputs import PreparedRun
from impasto.pipeline.measurements import CostCurve, LevelCosts, SpeedMeasurement
from impasto.studio import masks, worker
from impasto.studio.worker import CommandReader


class Stylizer:
    """Records commands."""

    def __init__(self):
        self.commands = []

    def steer(self, **settings):
        self.commands.append(settings)

    def stop(self):
        self.commands.append("stop")


def test_commands_wait_until_their_job_runs():
    commands = CommandReader(queue.SimpleQueue(), Stylizer())
    for command in (
        {"do": "paint", "work": "a"},
        {"do": "steer", "work": "a", "settings": {"strength": 0.2}},
        {"do": "stop", "work": "a"},
        {"do": "stop", "work": "b"},
    ):
        commands._handle(command)
    assert commands.stylizer.commands == []
    commands.begin_job("a")
    assert commands.stylizer.commands == [{"strength": 0.2}, "stop"]
    commands._handle({"do": "steer", "work": "a", "settings": {"strength": 0.3}})
    assert len(commands.stylizer.commands) == 3
    commands.end_job("a")
    commands._handle({"do": "stop", "work": "a"})  # too late: not for the next one
    commands.begin_job("c")
    commands.end_job("c")
    assert len(commands.stylizer.commands) == 3
    commands.begin_job("b")
    assert commands.stylizer.commands[3:] == ["stop"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImageError("a.png: no such file"), "a.png: no such file"),
        (MemoryError(), "smaller size"),
        (OSError(28, "No space left on device"), "No space left"),
        (KeyError("levels"), "KeyError: 'levels'"),
    ],
)
def test_any_error_fails_one_job(monkeypatch, tmp_path, error, words):
    def fail(*_):
        raise error

    monkeypatch.setattr(worker.runner, "prepare_job", fail)
    monkeypatch.setattr(worker, "job_spec", lambda command: None)
    commands, sent = CommandReader(queue.SimpleQueue(), Stylizer()), []
    command = {"work": "a", "folder": str(tmp_path), "clip": None}
    worker._run_job(command, commands, sent.append)
    (message,) = sent
    assert (message["event"], message["work"]) == ("failed", "a")
    assert words in message["error"]


def request(tmp_path, **more):
    return {
        **{"folder": str(tmp_path), "content": "c.png", "styles": ["s.png"], "regions": []},
        **{"keep": None, "recipe": {}, "frame": None, "frames": "", **more},
    }


def mask(tmp_path, size=(200, 100)):
    values = np.zeros(size[::-1], np.uint8)
    values[:, : size[0] // 2] = 255
    path = tmp_path / f"mask-of-{size[0]}.png"
    Image.fromarray(values).save(path)
    return path


def soft_mask(path, feather=0.0, frame=None, target=0):
    return {"path": str(path), "feather": feather, "frame": frame, "target": target}


def test_the_feather_is_applied_to_the_mask_of_a_job(tmp_path):
    path = mask(tmp_path)
    made = worker.job_spec(
        request(
            tmp_path,
            keep=soft_mask(path, 0.02),
            regions=[[soft_mask(path, each), "s.png"] for each in (0.0, 0.05)],
        )
    )
    keep, (sharp, soft) = made.inputs.keep, [each[0] for each in made.inputs.regions]
    assert sharp == str(path)
    edges = [softness(each) for each in (path, keep, soft)]
    assert edges[0] == 0 < edges[1] < edges[2]
    assert worker.job_spec(request(tmp_path)).inputs.keep is None


def softness(path):
    values = np.asarray(Image.open(path).convert("L"))
    return int(((values[50] > 5) & (values[50] < 250)).sum())


def test_a_feather_is_relative_to_the_size_and_the_border_is_replicated(tmp_path):
    wide = [
        softness(masks.feather_mask(mask(tmp_path, size), 0.02, tmp_path / "soft.png")) / size[0]
        for size in ((200, 100), (400, 200), (1200, 600))
    ]
    assert wide == pytest.approx([wide[-1]] * 3, rel=0.15)
    full = tmp_path / "full.png"
    Image.new("L", (90, 60), 255).save(full)
    soft = np.asarray(Image.open(masks.feather_mask(full, 0.1, tmp_path / "soft.png")))
    assert soft.min() == 255


def test_a_mask_of_zero_and_one_has_a_feather(tmp_path):
    path = mask(tmp_path)
    Image.fromarray(np.asarray(Image.open(path)) // 255).save(path)
    assert (
        np.asarray(Image.open(masks.feather_mask(path, 0.02, tmp_path / "soft.png"))).max() == 255
    )


def measured(seconds_of_pixel, levels):
    """Return a measurement with a constant time per pixel and evaluation."""
    curve = CostCurve(0.0, seconds_of_pixel, 1.0)
    costs = LevelCosts(0.0, 0.0, CostCurve(0.0, 0.0, 1.0), curve)
    return SpeedMeasurement(0.0, "float32", {level.role: costs for level in levels})


def first_steps(monkeypatch, found):
    """Return the message of the second step at 1,024 px, and the levels."""
    levels = tuple(pyramid.schedule(768, 1024, Recipe(size=1024)))
    monkeypatch.setattr(forecast, "known_measurement", lambda prepared: found and found(levels))
    monkeypatch.setattr(forecast, "style_sizes", lambda inputs: [])
    left = worker.time_left(PreparedRun(Recipe(), None, levels, None))
    level = levels[0]
    shape = level.height, level.width, level.evaluations
    left.note(LevelStarted(1, len(levels), *shape, state=None))
    for number in (1, 2):
        step = Step(1, number, 1.0, {}, 3.0 * number, state=None, make_pixels=None)
        left.note(step)
    assert left.in_words()
    return worker.step_message("a", step, levels, left, new_preview=True), levels


def test_the_time_left_uses_the_stored_measurement_from_the_first_step_on(monkeypatch):
    sent, levels = first_steps(monkeypatch, lambda levels: measured(1e-4, levels))
    whole = sum(each.height * each.width * each.evaluations for each in levels) * 1e-4
    number, unit, _ = sent["left"].split()
    assert whole / 2 < float(number) * {"s": 1, "min": 60}[unit] < 2 * whole


def test_without_a_measurement_the_time_left_is_empty_at_first(monkeypatch):
    sent, _ = first_steps(monkeypatch, None)
    assert sent["left"] == ""
    assert 0 < sent["done"] < worker.EARLY_SHARE


def test_colors_of_the_draft_move_to_those_of_the_style_except_in_the_protected_area(tmp_path):
    rng = np.random.default_rng(0)
    colors = {"content": (60, 90, 120), "style": (190, 120, 60)}
    paths = {name: tmp_path / f"{name}.png" for name in (*colors, "keep")}
    for name, color in colors.items():
        pixels = np.clip(rng.normal(color, 20, (80, 120, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(paths[name])
    keep = np.zeros((80, 120), np.uint8)
    keep[:, :60] = 255
    Image.fromarray(keep).save(paths["keep"])
    command = {
        "do": "paint",
        "work": "a",
        "folder": str(tmp_path),
        "content": str(paths["content"]),
        "styles": [str(paths["style"])],
        "regions": [],
        "keep": soft_mask(paths["keep"]),
        "recipe": {"size": 120},
        "frame": None,
        "frames": "",
    }
    with impasto.Stylizer() as stylizer:
        draft = worker.draft(runner.prepare_job(worker.job_spec(command), stylizer).prepared)
    content = np.asarray(Image.open(paths["content"]), np.float32)
    style = np.asarray(Image.open(paths["style"]), np.float32)
    assert np.abs(draft[:, :58] - content[:, :58]).max() < 1
    moved = (draft - content)[:, 62:].mean((0, 1)) / (style - content)[:, 62:].mean((0, 1))
    assert moved == pytest.approx([worker.DRAFT_SHARE] * 3, abs=0.05)
