"""The contact sheet of a batch: one HTML file with all results, their settings, times and scores.

It has no script and loads nothing: small copies of all images are inside the file.
"""

import base64
import html
import io
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from PIL import Image

from impasto import files
from impasto.errors import ImpastoError, InputError, OutputError, pluralize
from impasto.images import arrays
from impasto.images.formats import decode, encode
from impasto.jobs.batch import BatchItem, BatchSpec, ItemResult
from impasto.pipeline.provenance import read_provenance
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe
from impasto.version import __version__

NAME = "contact-sheet.html"
"""Default name of the sheet in the folder of the results."""

RESULT_SIDE, INPUT_SIDE = 360, 120
"""Longest sides of the small copies of results and of input images in pixels."""

GENERATOR = f'<meta name="generator" content="impasto {__version__}">'

_GENERATED = '<meta name="generator" content="impasto '

STYLE = """
:root { color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif; }
body { margin: 1.5rem; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); gap: 1.5rem; }
article { min-width: 0; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; }
h2 { font-size: 1rem; margin: .4rem 0; overflow-wrap: anywhere; }
p { margin: .3rem 0 1.2rem; }
article p { margin: .3rem 0; }
img { display: block; max-width: 100%; height: auto; }
.result { width: 100%; }
.inputs { display: flex; flex-wrap: wrap; gap: .4rem; margin-top: .4rem; }
.inputs img { height: 64px; width: auto; }
code { font-size: .85em; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: .9em; }
td { padding: 0 .8em 0 0; }
td:last-child { text-align: right; padding: 0; font-variant-numeric: tabular-nums; }
.failed { color: #c33; overflow-wrap: anywhere; }
"""


class SheetEntry(NamedTuple):
    """An item of a batch on the sheet."""

    result: ItemResult
    styles: Sequence[str]
    scores: Mapping[str, float] = {}
    """distances by name, from the judges"""


def check_sheet(path: Path, overwrite: bool) -> None:
    """Raise OutputError if a sheet cannot be written; other sheets of impasto are replaced."""
    if os.path.lexists(path) and not overwrite and not _is_sheet(path):
        raise OutputError(
            f"{files.display_path(path)} exists and is no contact sheet: use --overwrite, or "
            "another name with --sheet"
        )
    files.check_output(path, (".html",))


def _is_sheet(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            return _GENERATED in file.read(500)
    except (OSError, UnicodeDecodeError):
        return False


def styles_of(spec: BatchSpec, item: BatchItem) -> tuple[str, ...]:
    """Return the paths of the style images of an item, those of regions last."""
    styles = spec.inputs.styles if item.styles is None else item.styles
    return (*styles, *(style for _, style, *_ in spec.inputs.regions))


def write_sheet(path: Path, entries: Sequence[SheetEntry]) -> None:
    """Write the sheet. Raises OutputError if it cannot be written."""
    files.write_text(make_sheet(entries, path.parent), path)


def make_sheet(entries: Sequence[SheetEntry], folder: Path) -> str:
    """Return the HTML of a sheet in ``folder``, to which its links are relative."""
    failed = sum(bool(each.result.failure) for each in entries)
    seconds = sum(each.result.seconds for each in entries)
    summary = pluralize(len(entries) - failed, "image") + f", {seconds:.0f} s"
    summary += f", {failed} not painted" if failed else ""
    thumbnails = _Thumbnails()
    articles = "\n".join(_article(each, folder, thumbnails) for each in entries)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{GENERATOR}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Contact sheet</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Contact sheet</h1>
<p>{html.escape(summary)}</p>
<main>
{articles}
</main>
</body>
</html>
"""


def _article(entry: SheetEntry, folder: Path, thumbnails: "_Thumbnails") -> str:
    item = entry.result.item
    parts = [f"<h2>{html.escape(item.name)}</h2>"]
    if entry.result.failure:
        parts.append(f'<p class="failed">{html.escape(entry.result.failure)}</p>')
    else:
        image = thumbnails.image(item.result, RESULT_SIDE, f"result {item.name}", "result")
        parts.insert(0, f'<a href="{_link(item.result, folder)}">{image}</a>')
    inputs = [
        ("content image", str(item.content)),
        *(("style image", each) for each in entry.styles),
    ]
    images = (
        thumbnails.image(path, INPUT_SIDE, f"{role} {Path(path).name}") for role, path in inputs
    )
    parts.append(f'<div class="inputs">{"".join(images)}</div>')
    if not entry.result.failure:
        parts += [f"<p>{html.escape(_facts(entry.result))}</p>", _settings(item)]
    rows = (
        f"<tr><td>{html.escape(name)}</td><td>{value:.3g}</td></tr>"
        for name, value in entry.scores.items()
    )
    parts += [f"<table>{''.join(rows)}</table>"] if entry.scores else []
    return "<article>\n" + "\n".join(filter(None, parts)) + "\n</article>"


def _facts(result: ItemResult) -> str:
    if result.skipped:
        return "painted before, and skipped"
    return f"{pluralize(result.evaluations, 'evaluation')} in {result.seconds:.1f} s"


def _settings(item: BatchItem) -> str:
    """Return the settings of a result that differ from the defaults, as options."""
    try:
        recipe = read_provenance(item.result).recipe
    except InputError:  # a format without metadata
        return ""
    return f"<p><code>{html.escape(shlex.join(changed_options(recipe)))}</code></p>"


def changed_options(recipe: Recipe) -> tuple[str, ...]:
    """Return the settings that differ from the defaults of their style loss, and the size.

    >>> changed_options(Recipe(size=300, strength=0.7))
    ('--size', '300', '--strength', '0.7')
    """
    usual = Recipe(style_loss=recipe.style_loss)
    changed = {
        name: getattr(recipe, name)
        for name, *_ in recipes.iter_settings()
        if name == "size" or getattr(recipe, name) != getattr(usual, name)
    }
    if recipe.style_loss != Recipe().style_loss:
        changed["style_loss"] = recipe.style_loss
    for automatic in ("engine", "precision", "tile"):  # chosen by the machine
        changed.pop(automatic, None)
    return recipes.to_options(changed)


def _link(path: Path, folder: Path) -> str:
    """Return a relative link from the sheet to a file."""
    relative = os.path.relpath(path, folder)
    return html.escape(quote(Path(relative).as_posix()))


class _Thumbnails:
    """Small copies of images as data URLs; each file is read once for each size."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], str] = {}

    def image(self, path: files.AnyPath, side: int, text: str, kind: str = "") -> str:
        """Return an image element; without a picture if the file cannot be read."""
        key = os.fspath(path), side
        if key not in self._known:
            self._known[key] = _data_url(path, side)
        source, alternative = self._known[key], html.escape(text)
        if not source:
            return f"<span>{alternative} (not readable)</span>"
        return f'<img class="{kind}" src="{source}" alt="{alternative}" title="{alternative}">'


def _data_url(path: files.AnyPath, side: int) -> str:
    try:
        decoded = decode.read_image(path, decode.ANY_SIZE)
    except (ImpastoError, OSError, MemoryError):
        return ""
    height, width = arrays.fit(*arrays.size_of(decoded.pixels), side)
    small = arrays.resize(decoded.pixels, max(1, height), max(1, width))
    if decoded.alpha is not None:
        alpha = arrays.resize(decoded.alpha[..., None], *arrays.size_of(small))[..., 0]
        small = arrays.composite_on_white(small, alpha)
    data = io.BytesIO()
    image: Image.Image = encode.to_pillow(small)
    image.save(data, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
