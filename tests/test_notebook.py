"""The stored notebook, without running it; ``--nbmake`` runs it."""

import ast
import json
import re
from pathlib import Path

import pytest

import impasto

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "neural_style_transfer.ipynb"

SECTIONS = [
    "What neural style transfer is",
    "Feature maps",
    "Frozen weights, optimized pixels",
    "The content loss",
    "The style loss",
    "The total variation loss",
    "The total loss and its gradient",
    "The optimizer",
    "Choosing layers",
    "Reconstructions per layer",
    "Layers and weights",
    "From coarse to fine",
    "The paper's settings",
    "Matching: a nearest-neighbor style loss",
    "Choosing settings",
    "Exercises",
]

LARGEST = 2_500_000
"""Maximum size in bytes, so that web pages display the notebook."""


@pytest.fixture(scope="module")
def cells():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def code_cells(cells):
    return [cell for cell in cells if cell["cell_type"] == "code"]


def outputs(cells):
    return [output for cell in code_cells(cells) for output in cell["outputs"]]


def texts(cells):
    """Yield all text of the outputs."""
    for output in outputs(cells):
        yield from output.get("text", [])
        for kind, data in output.get("data", {}).items():
            if not kind.startswith("image/"):
                yield from data


def test_only_public_names_are_imported_and_used(cells):
    used = set()
    for cell in code_cells(cells):
        text = re.sub(r"^( *)%.*$", r"\1pass", "".join(cell["source"]), flags=re.MULTILINE)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", "") or "", *(each.name for each in node.names)]
                assert not [name for name in names if name.startswith("impasto.")]
                assert getattr(node, "module", "") != "impasto"
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "impasto":
                used.add(node.attr)
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_")
    assert used <= set(impasto.__all__)
    assert {"Stylizer", "stylize", "load_sample", "reconstruct_layers"} <= used


def test_badges_open_this_notebook(cells):
    text = "".join(cells[0]["source"])
    for service in ("colab.research.google.com/github/", "mybinder.org/v2/gh/"):
        assert service in text
    assert text.count(NOTEBOOK.name) == 2


def test_sections_are_complete_and_in_order(cells):
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert headings == [f"{n}. {title}" for n, title in enumerate(SECTIONS, start=1)]


def test_all_cells_were_run_in_order(cells):
    counts = [cell["execution_count"] for cell in code_cells(cells)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_cell_failed_or_wrote_to_stderr(cells):
    assert not [o for o in outputs(cells) if o["output_type"] == "error"]
    assert not [o for o in outputs(cells) if o.get("name") == "stderr"]


def test_every_section_but_the_third_has_a_figure(cells):
    section, shown = 0, set()
    for cell in cells:
        if cell["cell_type"] == "markdown":
            heading = re.search(r"^## (\d+)\.", "".join(cell["source"]), flags=re.MULTILINE)
            section = int(heading[1]) if heading else section
        elif any("image/jpeg" in output.get("data", {}) for output in cell["outputs"]):
            shown.add(section)
    assert shown == set(range(1, len(SECTIONS) + 1)) - {3}


def test_the_outputs_contain_no_paths_addresses_or_warnings(cells):
    text = "\n".join(texts(cells))
    assert re.findall(r"(?:^|[\s'\"(=])(?:/[\w.-]+/|~/|[A-Za-z]:\\)\S*|\w+://\S+", text) == []
    assert re.findall(r"0x[0-9a-f]{6,}|[Ww]arning", text) == []


def test_any_python_kernel_can_run_it():
    metadata = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"


def test_its_size_is_limited():
    assert NOTEBOOK.stat().st_size < LARGEST
