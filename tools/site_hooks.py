"""Hooks of MkDocs for the documentation site. ``make site``.

They add pages that are files of the repository, turn links to other files into links to the
repository, take addresses from pyproject.toml, and fail if a public name is not documented.
"""

import ast
import re
import tomllib
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

import griffe
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

ADDED_PAGES = {
    "architecture.md": "ARCHITECTURE.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "notes.md": "benchmarks/NOTES.md",
}
"""Pages that are files of the repository outside ``docs``."""

EXAMPLES = ROOT / "examples"
EXAMPLES_PAGE = "examples.md"
"""The programs of EXAMPLES on one page."""

SEARCH_BOOST = 0.1
"""Factor on the rank in a search of decision records and ADDED_PAGES, below pages for users."""

OPTIONAL_PAGES = ("video.md", EXAMPLES_PAGE)
"""Pages of the navigation that may be missing."""

SHIM = "https://unpkg.com/iframe-worker/shim"
"""What the theme loads from elsewhere for a search in a folder."""
LOCAL_SHIM = "assets/iframe-worker/shim.js"
"""The same file (npm package iframe-worker 1.0.4, MIT)."""

MATH_PAGES = ("method.md", "losses.md")
INLINE_MATH = re.compile(r"(?<!\$)\$([^$\n]+)\$(?!\$)")
"""LaTeX in a line of MATH_PAGES; blocks are fenced as ``math``, or between two dollar signs."""
MATH_LINE = re.compile(r"^\$\$(.+)\$\$$", re.MULTILINE)

LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)(?=[)#])")
IMAGE_SOURCE = re.compile(r'(?<=src=")(?![a-z]+:)([^"]+)(?=")')
API_NAME = re.compile(r"^::: impasto\.(\w+)$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set the addresses, and drop optional pages that are missing from the navigation."""
    addresses = project_addresses()
    config.site_url = addresses["Documentation"].rstrip("/") + "/"
    config.repo_url = addresses["Repository"]
    config.repo_name = "Source"
    found = {EXAMPLES_PAGE} if any(EXAMPLES.glob("*.py")) else set()
    found |= {each.name for each in Path(config.docs_dir).glob("*.md")}
    missing = [each for each in OPTIONAL_PAGES if each not in found]
    config.nav = _without(config.nav, missing)
    if undocumented := undocumented_names(Path(config.docs_dir, "api.md").read_text("utf-8")):
        raise PluginError(f"undocumented public names: {', '.join(undocumented)}")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of ADDED_PAGES, with links relative to their new place."""
    for page, source in ADDED_PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=move_links(text, source, f"docs/{page}")))
    if programs := sorted(EXAMPLES.glob("*.py")):
        files.append(File.generated(config, EXAMPLES_PAGE, content=examples_page(programs)))
    return files


def examples_page(programs: list[Path]) -> str:
    """Return a page with programs: the first line of each docstring, and the code."""
    lines = ["# Examples", "", "Complete programs, from the folder `examples` of the repository."]
    for path in programs:
        code = path.read_text(encoding="utf-8")
        title = (ast.get_docstring(ast.parse(code)) or path.stem).partition("\n")[0].rstrip(".")
        lines += ["", f"## {title}", "", f'```python title="{path.name}"', code.rstrip(), "```"]
    return "\n".join(lines) + "\n"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files that are not part of the site into links to the repository."""
    if page.file.src_uri in ADDED_PAGES or page.file.src_uri.startswith("decisions/"):
        page.meta.setdefault("search", {"boost": SEARCH_BOOST})
    if page.file.src_uri in MATH_PAGES:
        markdown = MATH_LINE.sub(r"```math\n\1\n```", markdown)
        # In a span, since Markdown treats ``math`` at the beginning of a line as a block.
        markdown = INLINE_MATH.sub(lambda found: f"<span>{convert(found[1])}</span>", markdown)

    def replace(found: re.Match[str]) -> str:
        target = normpath(f"{PurePosixPath('docs', page.file.src_uri).parent}/{found[1]}")
        if target.startswith("docs/") or not (ROOT / target).exists():
            return found[1]
        for added, source in ADDED_PAGES.items():
            if source == target:
                return relpath(f"docs/{added}", PurePosixPath("docs", page.file.src_uri).parent)
        return f"{config.repo_url}/blob/main/{target}"

    return LINK.sub(replace, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Load the search's worker for pages opened from a folder from the site itself."""
    return output.replace(SHIM, relpath(LOCAL_SHIM, PurePosixPath(page.file.dest_uri).parent))


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """Do the same for pages that are no documents, such as that for missing pages."""
    return output.replace(SHIM, LOCAL_SHIM)


def move_links(text: str, source: str, destination: str) -> str:
    """Return the text of a page with relative links that hold at another path."""

    def replace(found: re.Match[str]) -> str:
        target = normpath(f"{PurePosixPath(source).parent}/{found[1]}")
        return relpath(target, PurePosixPath(destination).parent)

    return IMAGE_SOURCE.sub(replace, LINK.sub(replace, text))


def format_math(
    source: str, language: str, css_class: str, options: Any, md: Any, **others: Any
) -> str:
    """Return LaTeX as MathML, which browsers display without a script."""
    return f'<div class="{css_class}">{convert(source, display="block")}</div>'


def project_addresses() -> dict[str, str]:
    """Return the addresses in pyproject.toml by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict(project["urls"])


def undocumented_names(page: str) -> list[str]:
    """Return public names that the page lacks, or whose source has no docstring."""
    package = griffe.load("impasto", search_paths=[ROOT / "src"], resolve_aliases=True)
    shown = set(API_NAME.findall(page))
    names = sorted(
        name for name, each in package.members.items() if each.is_alias and name[0] != "_"
    )
    return [
        f"impasto.{name}: {problem}"
        for name in names
        for problem in _problems(package[name], name in shown)
    ]


def _problems(found: Any, shown: bool) -> list[str]:
    problems = [] if shown else ["missing in docs/api.md"]
    problems += [] if found.has_docstring else ["no docstring"]
    if found.is_class:
        members = {key: each for key, each in found.members.items() if key[0] != "_"}
        problems += [
            f"no docstring of {key}"
            for key, each in members.items()
            if each.is_function and not each.has_docstring
        ]
    return problems


def _without(nav: Any, pages: list[str]) -> Any:
    """Return the navigation without some pages."""
    if isinstance(nav, list):
        return [each for each in (_without(one, pages) for one in nav) if each]
    if isinstance(nav, dict):
        kept = {title: _without(each, pages) for title, each in nav.items()}
        return {title: each for title, each in kept.items() if each}
    return None if nav in pages else nav
