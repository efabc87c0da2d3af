"""Clips painted from end to end by a small network."""

import dataclasses
import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto import Stylizer
from impasto.errors import CheckpointError, ImageError, SettingError
from impasto.pipeline.video_events import (
    ClipSurveyed,
    FramePainted,
    ShotFinished,
    ShotStarted,
    VideoFinished,
    VideoOptions,
)
from impasto.video import clip_job, parts, reader
from impasto.video import survey as surveys
from impasto.video.clip_job import VideoJob
from tests import tiny
from tests.video import clips
from tests.video.conftest import SETTINGS

pytestmark = tiny.needs_kernels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pan with sound, and a clip with a cut and a held frame."""
    path = tmp_path_factory.mktemp("clips")
    pan = clips.pan(5)
    clips.write(path / "pan.mp4", pan, audio=True)
    other = clips.pan(3, texture=clips.OTHER[::-1])
    clips.write(path / "cut.mp4", [pan[0], pan[1], pan[1], pan[2], *other])
    clips.write(path / "crossing.mp4", clips.crossing(9))
    return path


def paint(stylizer, clip, painting, output, **options):
    return list(stylizer.video(clip, painting, output, options=VideoOptions(**options)))


def frames(path):
    return [frame.pixels() for frame in reader.iter_frames(reader.probe(path))]


def same_images(folder, one, other):
    """The number of images of two sequences, which have the same bytes: encoders may not."""
    pairs = zip(sorted(folder.glob(one)), sorted(folder.glob(other)), strict=True)
    return len([a for a, b in pairs if a.read_bytes() == b.read_bytes() or pytest.fail(str(a))])


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def test_events_in_order_and_the_clip_with_its_sound(stylizer, folder, painting, tmp_path):
    output = tmp_path / "p.mp4"
    events = paint(stylizer, folder / "pan.mp4", painting, output)
    kinds = [type(event) for event in events]
    assert kinds == [
        *(ClipSurveyed, ShotStarted, *[FramePainted] * 5),
        *(ShotFinished, VideoFinished),
    ]
    painted = of_kind(events, FramePainted)
    assert [event.kind for event in painted] == ["first", *["painted"] * 4]
    assert [(event.done, event.frames) for event in painted] == [(n, 5) for n in range(1, 6)]
    assert painted[1].confidence > 0.8
    assert clips.packets(output) == clips.packets(folder / "pan.mp4")
    assert len(frames(output)) == 5
    assert not Path(f"{output}.impasto").exists()


def test_strokes_stay_on_things(stylizer, folder, painting, tmp_path):
    """A pan by two pixels moves the painted frames by two pixels, and not those by themselves."""

    def error(events):
        images = [event.pixels for event in of_kind(events, FramePainted)]
        pairs = itertools.pairwise(images)
        return np.mean([np.abs(b[:, :-8] - a[:, 2:-6])[6:-6, 6:].mean() for a, b in pairs])

    clip = folder / "pan.mp4"
    steady = error(paint(stylizer, clip, painting, tmp_path / "a.mp4"))
    alone = error(paint(stylizer, clip, painting, tmp_path / "b.mp4", steady=0))
    assert steady < 3
    assert steady < alone / 3


def test_cuts_and_held_frames(stylizer, folder, painting, tmp_path):
    events = paint(stylizer, folder / "cut.mp4", painting, tmp_path / "p.mp4")
    assert of_kind(events, ClipSurveyed)[0].cuts == (4,)
    kinds = {event.number: event.kind for event in of_kind(events, FramePainted)}
    assert [kinds[n] for n in range(7)] == [
        *("first", "painted", "held", "painted"),
        *("first", "painted", "painted"),
    ]
    images = {event.number: event.pixels for event in of_kind(events, FramePainted)}
    assert np.array_equal(np.rint(images[2]), np.rint(images[1]))


def test_still_pixels_keep_their_bytes(stylizer, folder, painting, tmp_path):
    events = paint(stylizer, folder / "crossing.mp4", painting, tmp_path / "p-%02d.png")
    images = [np.asarray(Image.open(tmp_path / f"p-{n:02d}.png")) for n in range(9)]
    same = np.all([image == images[0] for image in images], axis=(0, 3))
    assert same.mean() > 0.25
    assert isinstance(events[-1], VideoFinished)


def test_a_stopped_clip_resumes_to_the_same_bytes(stylizer, folder, painting, tmp_path):
    clip, whole = folder / "cut.mp4", tmp_path / "whole-%02d.png"
    paint(stylizer, clip, painting, whole, every=2)
    resumed = tmp_path / "resumed-%02d.png"
    for count in range(1, 14, 2):  # the generator is closed after so many events
        events = stylizer.video(clip, painting, resumed, options=VideoOptions(every=2))
        for _ in itertools.islice(events, count):
            pass
        events.close()
    assert same_images(tmp_path, "whole-*.png", "resumed-*.png") == 7


def test_a_resumed_clip_paints_only_what_is_missing(stylizer, folder, painting, tmp_path):
    clip, output = folder / "pan.mp4", tmp_path / "p.mp4"
    events = stylizer.video(clip, painting, output)
    begun = list(itertools.islice(events, 5))
    events.close()
    assert begun[-1].number == 2
    again = paint(stylizer, clip, painting, output)
    assert of_kind(again, ShotStarted)[0].painted == 3
    # The memory is written after the frame: the last frame is painted again.
    assert [event.number for event in of_kind(again, FramePainted)] == [2, 3, 4]


def test_a_stopped_clip_ends_after_its_frame(stylizer, folder, painting, tmp_path):
    output = tmp_path / "p.mp4"
    events = []
    for event in stylizer.video(folder / "pan.mp4", painting, output):
        events.append(event)
        if isinstance(event, FramePainted) and event.number == 1:
            stylizer.stop()
    assert events[-1].number == 1
    assert not output.exists()
    again = paint(stylizer, folder / "pan.mp4", painting, output)
    assert isinstance(again[-1], VideoFinished)


def test_other_settings_do_not_resume(stylizer, folder, painting, tmp_path):
    clip, output = folder / "pan.mp4", tmp_path / "p.mp4"
    events = stylizer.video(clip, painting, output)
    list(itertools.islice(events, 3))
    events.close()
    with pytest.raises(CheckpointError, match="options"):
        paint(stylizer, clip, painting, output, hold=2)
    events = paint(stylizer, clip, painting, output, hold=2, restart=True)
    kinds = {event.number: event.kind for event in of_kind(events, FramePainted)}
    assert [kinds[n] for n in range(5)] == ["first", "held", "painted", "held", "painted"]


def test_frames_between_painted_ones(stylizer, folder, painting, tmp_path):
    events = paint(stylizer, folder / "pan.mp4", painting, tmp_path / "p.mp4", every=3)
    kinds = [event.kind for event in of_kind(events, FramePainted)]
    assert kinds == ["first", "between", "between", "painted", "painted"]


def test_a_frame_painted_by_hand_is_shown_and_followed(stylizer, folder, painting, tmp_path):
    by_hand = np.zeros((48, 64, 3), np.uint8)
    by_hand[..., 0] = 200
    by_hand[::4] = 255
    events = paint(
        stylizer, folder / "pan.mp4", painting, tmp_path / "p.mp4", keys={0: by_hand, 3: by_hand}
    )
    painted = of_kind(events, FramePainted)
    assert [event.kind for event in painted] == ["key", "painted", "painted", "key", "painted"]
    assert np.array_equal(painted[3].pixels, by_hand)
    assert np.abs(painted[1].pixels - by_hand)[8:-8, 8:-12].mean() < 12


def test_a_key_beyond_the_clip_is_refused(stylizer, folder, painting, tmp_path):
    with pytest.raises(SettingError, match="key 9 is no frame"):
        paint(stylizer, folder / "pan.mp4", painting, tmp_path / "p.mp4", keys={9: painting})


def test_transparency_reaches_the_painted_clip(stylizer, folder, painting, tmp_path):
    """Also of frames that are transparent as a whole."""
    clear = [np.dstack([frame, np.full((48, 64), 255.0)]) for frame in clips.pan(3)]
    clear[0][..., 3] = 0
    clear[1][:, :32, 3] = 0
    source = clips.write(tmp_path / "a.webm", clear, "libvpx-vp9", "yuva420p")
    paint(stylizer, source, painting, tmp_path / "b.webm")
    found = list(reader.iter_frames(reader.probe(tmp_path / "b.webm")))
    means = [frame.alpha.mean() for frame in found]
    assert means == pytest.approx([0, 0.5, 1], abs=0.03)


def test_a_part_of_the_clip(stylizer, folder, painting, tmp_path):
    output = tmp_path / "p.mp4"
    events = paint(stylizer, folder / "pan.mp4", painting, output, start=1 / 24, end=3 / 24)
    assert [event.number for event in of_kind(events, FramePainted)] == [1, 2]
    read = list(reader.iter_frames(reader.probe(output)))
    assert [frame.seconds for frame in read] == pytest.approx([0, 1 / 24])
    with pytest.raises(SettingError, match="no frame from 9 s on"):
        paint(stylizer, folder / "pan.mp4", painting, output, start=9)


def test_a_look_is_one_image(stylizer, folder, painting, tmp_path):
    events = paint(stylizer, folder / "pan.mp4", painting, tmp_path / "p.mp4", look=2)
    assert Path(events[-1].path).name == "p-000002.png"
    assert [path.name for path in tmp_path.iterdir()] == ["p-000002.png"]


def test_kept_regions_stand_or_move(stylizer, folder, painting, tmp_path):
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 20:40] = 255
    content = frames(folder / "pan.mp4")

    def difference(events, number, columns):
        painted = {event.number: event.pixels for event in of_kind(events, FramePainted)}
        return np.abs(painted[number] - content[number])[8:-8, columns].mean()

    clip, style = folder / "pan.mp4", painting
    still = list(stylizer.video(clip, style, tmp_path / "a.mp4", keep=mask))
    assert difference(still, 4, slice(24, 36)) < 3
    moving = list(stylizer.video(clip, style, tmp_path / "b.mp4", keep=(2, mask)))
    assert difference(moving, 2, slice(24, 36)) < 4
    assert difference(moving, 0, slice(28, 40)) < 6  # four pixels to the right
    assert difference(moving, 4, slice(20, 32)) < 6


def disk_masks(count):
    """A disk that moves by four pixels per frame, over content that moves by two to the left."""
    y, x = np.mgrid[:48, :64]
    return [
        np.where((x - 16 - 4 * n) ** 2 + (y - 24) ** 2 < 100, 255, 0).astype(np.uint8)
        for n in range(count)
    ]


def test_a_mask_clip_keeps_another_part_of_each_frame(stylizer, folder, painting, tmp_path):
    """What the mask has left is painted, also where it was never painted before."""
    masks = disk_masks(5)
    (tmp_path / "masks").mkdir()
    for number, mask in enumerate(masks):
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    content = frames(folder / "pan.mp4")
    clip, keep = folder / "pan.mp4", tmp_path / "masks"
    events = list(stylizer.video(clip, painting, tmp_path / "p.mp4", keep=keep))
    for event in of_kind(events, FramePainted):
        difference = np.abs(event.pixels - content[event.number]).mean(-1)
        inside = masks[event.number] > 0
        assert difference[inside].mean() < 4
        if event.number:
            left = (masks[event.number - 1] > 0) & ~inside
            assert difference[left].mean() > 8
    with pytest.raises(SettingError, match="masks for 5 frames, and the clip has 7"):
        list(stylizer.video(folder / "cut.mp4", painting, tmp_path / "q.mp4", keep=keep))


@pytest.mark.parametrize("moving", [False, True])
def test_a_region_moves_with_its_content_or_by_its_own_masks(
    stylizer, folder, painting, tmp_path, moving
):
    """A red style image in the region: the frames are red there, and only there."""
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = np.random.default_rng(0).integers(120, 255, (48, 64))
    masks = disk_masks(5)
    at = [mask > 0 for mask in masks]
    mask: object = (2, masks[2])
    if moving:
        at = [np.roll(masks[2], 2 * (2 - n), axis=1) > 0 for n in range(5)]
    else:
        clips.write(tmp_path / "m.mp4", [np.dstack([mask] * 3) for mask in masks])
        mask = str(tmp_path / "m.mp4")
    regions = [(mask, red)]
    events = stylizer.video(folder / "pan.mp4", painting, tmp_path / "p.mp4", regions=regions)
    for event in of_kind(list(events), FramePainted):
        redness = event.pixels[..., 0] - event.pixels[..., 1]
        inside = at[event.number]
        assert redness[inside].mean() > redness[~inside].mean() + 15, event.number


def test_frames_before_a_key_move_toward_it(stylizer, folder, painting, tmp_path):
    """The share of the key grows from frame to frame, and it is moved along."""
    by_hand = np.zeros((48, 64, 3), np.uint8)
    by_hand[..., 1] = 220
    by_hand[:, 30:34] = 255
    clip = folder / "pan.mp4"
    without = paint(stylizer, clip, painting, tmp_path / "a.mp4")
    events = paint(stylizer, clip, painting, tmp_path / "b.mp4", keys={4: by_hand})
    plain, toward = (
        [each.pixels[8:-8, 8:-12] for each in of_kind(found, FramePainted)]
        for found in (without, events)
    )
    assert [each.kind for each in of_kind(events, FramePainted)][-1] == "key"
    assert np.array_equal(plain[0], toward[0])
    greens = [image[..., 1].mean() - image[..., 0].mean() for image in toward]
    assert greens == sorted(greens)
    assert greens[3] > greens[0] + 60
    bar = np.abs(toward[3] - 255).mean((0, 2))  # the white bar, two pixels to the right
    assert abs(bar.argmin() - (30 + 2 + 1.5 - 8)) <= 2


def test_statistics_of_colors_are_those_of_the_shot(small_network, folder, painting, tmp_path):
    """The same style image for all frames: those painted by themselves would flicker."""
    pan = clips.pan(3)
    clips.write(tmp_path / "dark.mp4", [pan[0], pan[1] * 0.6, pan[2] * 0.3])
    with Stylizer(**{**SETTINGS, "colors": "match"}) as stylizer:
        seen = []
        run = stylizer.run
        stylizer.run = lambda prepared: (
            seen.append(prepared.inputs.regions[0].styles[0].image),
            run(prepared),
        )[1]
        paint(stylizer, tmp_path / "dark.mp4", painting, tmp_path / "p.mp4", steady=0, cuts=())
    assert len(seen) == 3
    assert all(np.array_equal(image, seen[0]) for image in seen)
    assert not np.array_equal(seen[0], painting)


def test_a_look_has_the_masks_of_its_frame(stylizer, folder, painting, tmp_path):
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 20:40] = 255
    content = frames(folder / "pan.mp4")[4]
    events = stylizer.video(
        *(folder / "pan.mp4", painting, tmp_path / "p.mp4"),
        keep=(2, mask),
        options=VideoOptions(look=4),
    )
    look = next(iter(events)).pixels
    assert np.abs(look - content)[8:-8, 18:34].mean() < 4  # four pixels to the left
    assert np.abs(look - content)[8:-8, 44:].mean() > 10
    assert [path.name for path in tmp_path.iterdir()] == ["p-000004.png"]


def test_a_frame_that_cannot_be_decoded_is_bridged(
    stylizer, folder, painting, tmp_path, monkeypatch
):
    decode = reader._decoded

    def damaged(container):
        for number, (time, frame, bad) in enumerate(decode(container)):
            yield (time, None, True) if number == 2 else (time, frame, bad)

    monkeypatch.setattr(reader, "_decoded", damaged)
    events = paint(stylizer, folder / "pan.mp4", painting, tmp_path / "p.mp4")
    kinds = {event.number: event.kind for event in of_kind(events, FramePainted)}
    assert kinds[2] == "bridged"
    assert any("frames 2 cannot be decoded" in note for note in events[-1].notes)
    monkeypatch.undo()
    assert len(frames(tmp_path / "p.mp4")) == 5


def test_memory_does_not_grow_with_the_clip(stylizer, folder, painting, tmp_path):
    sizes = []
    events = stylizer.video(folder / "crossing.mp4", painting, tmp_path / "p.mp4")
    for event in events:
        if isinstance(event, FramePainted):
            memory = Path(f"{tmp_path / 'p.mp4'}.impasto") / "from-000000.memory"
            sizes.append(memory.stat().st_size if memory.exists() else 0)
    assert max(sizes) < 120 * 48 * 64 + 24 * 16 * 48 * 64


def test_the_state_of_a_finished_shot_is_removed(stylizer, folder, painting, tmp_path):
    """The disk holds the frames, and the state of one part."""
    states = []
    by_hand = np.full((48, 64, 3), 128, np.uint8)
    events = stylizer.video(
        *(folder / "cut.mp4", painting, tmp_path / "p.mp4"),
        options=VideoOptions(keys={6: by_hand}),
    )
    for event in events:
        if isinstance(event, FramePainted):
            names = Path(f"{tmp_path / 'p.mp4'}.impasto").iterdir()
            states.append({path.name for path in names if path.suffix != ".json"})
    memories = [sorted(name for name in each if name.endswith(".memory")) for each in states]
    assert all(len(each) <= 1 for each in memories)
    assert memories[-2] == ["from-000004.memory"]
    assert not any(name.startswith("key-") for name in states[-1])


def test_other_settings_start_again_if_nothing_is_painted(stylizer, folder, painting, tmp_path):
    events = stylizer.video(folder / "pan.mp4", painting, tmp_path / "p.mp4")
    assert isinstance(next(events), ClipSurveyed)
    events.close()
    events = paint(stylizer, folder / "pan.mp4", painting, tmp_path / "p.mp4", hold=2)
    assert isinstance(events[-1], VideoFinished)


@pytest.mark.parametrize("settings", [{"colors": "content"}, {"style_loss": "gram", "levels": 2}])
def test_other_settings_of_a_still_image(small_network, folder, painting, tmp_path, settings):
    with Stylizer(**{**SETTINGS, **settings}) as stylizer:
        events = paint(stylizer, folder / "pan.mp4", painting, tmp_path / "p.mp4")
    painted = of_kind(events, FramePainted)
    assert [event.kind for event in painted] == ["first", *["painted"] * 4]
    assert all(np.isfinite(event.pixels).all() for event in painted)


def test_regions_and_several_paintings(stylizer, folder, painting, tmp_path):
    mask = np.zeros((48, 64), np.uint8)
    mask[:, :32] = 255
    other = painting[:, ::-1] // 2
    events = list(
        stylizer.video(
            folder / "pan.mp4",
            [painting, other],
            tmp_path / "p.mp4",
            regions=[(mask, other)],
        )
    )
    assert len(of_kind(events, FramePainted)) == 5


def test_what_is_wrong_is_said_before_anything_is_painted(stylizer, folder, painting, tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        stylizer.video(tmp_path / "none.mp4", painting, tmp_path / "p.mp4")
    with pytest.raises(SettingError, match="no style image"):
        stylizer.video(folder / "pan.mp4", None, tmp_path / "p.mp4")
    with pytest.raises(SettingError, match="steady is 2"):
        VideoOptions(steady=2)
    with pytest.raises(SettingError, match="every is 99"):
        VideoOptions(every=99)
    assert not list(tmp_path.iterdir())


def test_every_auto_depends_on_motion():
    def made(share):
        frame = surveys.FrameSurvey(0, 1, share, False, False, 1.0, 9.0, 1.0, 0.0, False)
        return surveys.make_survey((frame,) * 12, ())

    def every(share):
        made_survey = made(share)
        return parts.choose_every(made_survey, made_survey.shots[0])

    assert [every(share) for share in (0.99, 0.86, 0.8, 0.6)] == [3, 3, 2, 1]


@pytest.mark.slow
def test_killed_at_any_moment_it_resumes_to_the_same_bytes(stylizer, folder, painting, tmp_path):
    """The folder is copied at every write, as a killed process would leave it."""
    clip, whole, again = folder / "pan.mp4", tmp_path / "whole", tmp_path / "again"
    copies = tmp_path / "copies"
    copies.mkdir()
    replace = os.replace
    taken = itertools.count()

    def copying(source, target):
        replace(source, target)
        if Path(target).parent.name.endswith(".impasto"):
            shutil.copytree(tmp_path / "whole", copies / f"{next(taken):03d}")

    whole.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", copying)
        paint(stylizer, clip, painting, whole / "%06d.png")
    states = sorted(copies.iterdir())
    assert len(states) > 10
    for state in states:
        shutil.rmtree(again, ignore_errors=True)
        shutil.copytree(state, again)
        paint(stylizer, clip, painting, again / "%06d.png")
        for path in sorted(whole.glob("*.png")):
            assert (again / path.name).read_bytes() == path.read_bytes(), (state.name, path.name)


@pytest.mark.slow
def test_shots_on_workers_are_those_painted_here(folder, tmp_path):
    pytest.importorskip("distributed")
    from impasto.images import samples
    from impasto.images.formats import encode

    style = tmp_path / "style.png"
    encode.write_image(samples.make_style("swirls", 64), style)
    for workers in (None, 2):
        output = tmp_path / f"{workers}-%02d.png"
        with Stylizer(**SETTINGS, workers=workers) as stylizer:
            events = paint(stylizer, folder / "cut.mp4", str(style), output)
        assert isinstance(events[-1], VideoFinished)
    assert same_images(tmp_path, "None-*.png", "2-*.png") == 7


def test_the_identity_is_json(stylizer, folder, painting, tmp_path):
    job = VideoJob(str(folder / "pan.mp4"), painting, str(tmp_path / "p.mp4"), VideoOptions())
    made = clip_job.identity(clip_job.prepare(stylizer, job))
    assert json.loads(json.dumps(made)) == made
    other = dataclasses.replace(job, options=VideoOptions(steady=0.5))
    assert clip_job.identity(clip_job.prepare(stylizer, other)) != made
