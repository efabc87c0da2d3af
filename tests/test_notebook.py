"""What can be seen in the stored notebook without running it; ``--nbmake`` runs it."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "neural_style_transfer.ipynb"

SECTIONS = [
    "What neural style transfer is",
    "Features: what the network sees",
    "Transfer learning: the network stays, the pixels change",
    "The content loss",
    "The style loss",
    "The total variation loss",
    "The weighted total, and one evaluation",
    "The optimizer",
    "Choosing layers",
    "From coarse to fine",
    "The paper's own choice",
    "Style by matched features",
    "Which knob to turn",
]

LARGEST = 2_500_000
"""Bytes, so that a web page still shows the notebook."""


@pytest.fixture(scope="module")
def cells():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def code_cells(cells):
    return [cell for cell in cells if cell["cell_type"] == "code"]


def outputs(cells):
    return [output for cell in code_cells(cells) for output in cell["outputs"]]


def words(cells):
    """Everything of the outputs that is not a picture."""
    for output in outputs(cells):
        yield from output.get("text", [])
        for kind, data in output.get("data", {}).items():
            if not kind.startswith("image/"):
                yield from data


def test_every_section_is_there_in_order(cells):
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert headings == [f"{n}. {title}" for n, title in enumerate(SECTIONS, start=1)]


def test_it_was_run_once_from_top_to_bottom(cells):
    counts = [cell["execution_count"] for cell in code_cells(cells)]
    assert counts == list(range(1, len(counts) + 1))


def test_nothing_was_written_to_stderr_and_no_cell_failed(cells):
    assert not [o for o in outputs(cells) if o["output_type"] == "error"]
    assert not [o for o in outputs(cells) if o.get("name") == "stderr"]


def test_every_section_but_the_third_shows_a_picture(cells):
    section, shown = 0, set()
    for cell in cells:
        if cell["cell_type"] == "markdown":
            heading = re.search(r"^## (\d+)\.", "".join(cell["source"]), flags=re.MULTILINE)
            section = int(heading[1]) if heading else section
        elif any("image/jpeg" in output.get("data", {}) for output in cell["outputs"]):
            shown.add(section)
    assert shown == set(range(1, len(SECTIONS) + 1)) - {3}


def test_the_outputs_tell_nothing_of_the_machine_they_were_made_on(cells):
    text = "\n".join(words(cells))
    assert re.findall(r"(?:^|[\s'\"(=])(?:/[\w.-]+/|~/|[A-Za-z]:\\)\S*|\w+://\S+", text) == []
    assert re.findall(r"0x[0-9a-f]{6,}|[Ww]arning", text) == []


def test_any_python_kernel_can_run_it():
    metadata = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"


def test_it_is_small_enough_to_be_shown():
    assert NOTEBOOK.stat().st_size < LARGEST
