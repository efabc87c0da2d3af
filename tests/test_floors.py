"""The house has rooms in a row; a room imports from those before it alone, never in a circle.

Inside a room, too, a module imports only from those before it. Imports inside functions and for
type checkers count like all others. The ``__init__`` of a room has a docstring alone.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import impasto
from tests import tiny

ROOMS = {
    "version": (),
    "errors": (),
    "extras": (),
    "files": (),
    "filearray": (),
    "recipe": (
        "values",
        "strength",
        "keywords",
        "settings",
        "presets",
        "signature",
    ),
    "images": (
        "formats.save_options",
        "arrays",
        "value_range",
        "formats.transfer_functions",
        "formats.containers",
        "formats.color_management",
        "formats.metadata",
        "formats.detect",
        "formats.reader",
        "formats.pillow_reader",
        "formats.deep_readers",
        "formats.tiff",
        "formats.decode",
        "formats.encode",
        "masks",
        "load",
        "colors",
        "formats.video",
        "samples",
        "style_regions",
    ),
    "compute": (
        "numpy_ops",
        "arrays",
        "threads",
        "keras_settings",
        "keras_backend",
        "native.kernels",
        "feature_reductions",
    ),
    "network": (
        "torch_files",
        "onnx_files",
        "weight_files",
        "weights",
        "activations",
        "vgg",
        "native_vgg",
    ),
    "optimizers": (
        "solver",
        "state_arrays",
        "parametrization",
        "lbfgs",
        "scipy",
        "adam",
        "registry",
    ),
    "losses": (
        "level_roles",
        "tiles",
        "style_cache",
        "terms",
        "moments",
        "moment_losses",
        "content",
        "total_variation",
        "feature_index",
        "voting",
        "neighbors",
        "feature_splitting",
        "style_views",
        "style_targets",
        "hypercolumns",
        "style_index",
        "match_search",
        "carried_matches",
        "matching",
        "style",
        "objective",
        "level_targets",
        "tiled",
    ),
    "engines": (
        "engine",
        "native_engine",
        "keras_engine",
        "selection",
    ),
    "cluster": (
        "serialization",
        "worker_state",
        "pool",
    ),
    "pipeline": (
        "provenance",
        "events",
        "memory",
        "pyramid",
        "checkpoints",
        "inputs",
        "interrupts",
        "progress",
        "result",
        "models",
        "run",
        "recovery",
        "levels",
        "measurements",
        "forecast",
        "calibration",
        "remote_tiles",
        "execution",
        "asynchronous",
        "video_events",
        "stylizer",
    ),
    "jobs": (
        "outputs",
        "specs",
        "runner",
        "sizes",
        "tables",
        "batch",
        "contact_sheet",
        "figures",
        "sweep",
    ),
    "video": (
        "extras",
        "reader",
        "writer",
        "motion",
        "survey",
        "births",
        "stillness",
        "boxes",
        "matches",
        "frame_plan",
        "frame_painter",
        "between",
        "memory_file",
        "project",
        "mask_sources",
        "clip_job",
        "parts",
        "tracking",
        "shot_masks",
        "shot_styles",
        "full_painter",
        "key_frames",
        "shot",
        "workers",
        "stream",
        "forecast",
    ),
    "evaluation": (
        "weight_packages",
        "lite0",
        "edges",
        "measures",
        "networks",
        "judges",
    ),
    "studio": (
        "validation",
        "records",
        "event_messages",
        "messages",
        "auth",
        "store",
        "queue",
        "schema",
        "masks",
        "selection",
        "clips",
        "clip_areas",
        "clip_jobs",
        "worker",
        "supervisor",
        "versions",
        "sessions",
        "forecasts",
        "collection",
        "crops",
        "exports",
        "uploads",
        "responses",
        "clip_reading",
        "clip_routes",
        "app",
        "server",
    ),
    "__init__": (),
    "cli": (
        "help",
        "options",
        "console",
        "pipes",
        "one",
        "judge",
        "many",
        "figures",
        "doctor",
        "studio",
        "video",
        "app",
    ),
    "__main__": (),
}
HEIGHT = {room: height for height, room in enumerate(ROOMS)}
PACKAGE = Path(impasto.__file__).parent
SOURCES = [
    *(path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__init__.py"),
    *sorted(PACKAGE.rglob("*.pyi")),  # which say what every __init__.py loads
]


def place(path: Path) -> tuple[str, str]:
    """The room of a file and its module there, with dots; the package's own files have none."""
    room, *within = path.relative_to(PACKAGE).with_suffix("").parts
    return room, ".".join(within)


def imported(tree: ast.AST, room: str = "") -> Iterator[tuple[str, str]]:
    """The (room, module) of everything of the package that is imported.

    A name that a room or the package itself hands out has the module ``__init__``, or the room.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            dotted = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ["impasto", *([room] if ROOMS.get(room) and node.level == 1 else [])]
            source = ".".join(filter(None, [*(above if node.level else []), node.module]))
            dotted = [f"{source}.{name.name}" for name in node.names]
        else:
            continue
        for name in dotted:
            package, *rest = name.split(".")
            if package != "impasto":
                continue
            if not rest or rest[0] not in ROOMS:
                yield "__init__", ""
            elif not ROOMS[rest[0]]:
                yield rest[0], ""
            else:
                within = {".".join(rest[1:end]) for end in (2, 3)} & set(ROOMS[rest[0]])
                yield rest[0], within.pop() if within else "__init__"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import impasto", [("__init__", "")]),
        ("import impasto.files as f, os", [("files", "")]),
        ("from impasto import files, stylize", [("files", ""), ("__init__", "")]),
        ("from impasto.network.vgg import build_vgg", [("network", "vgg")]),
        ("from impasto.network import vgg, load", [("network", "vgg"), ("network", "__init__")]),
        ("from impasto import network", [("network", "__init__")]),
        ("from impasto.compute.native import kernels", [("compute", "native.kernels")]),
        ("from impasto.compute.native.kernels import Kernels", [("compute", "native.kernels")]),
        ("from .weights import load", [("network", "weights")]),
        ("from ..errors import nearest", [("errors", "")]),
        ("from os import path; import impastor", []),
        ("def f():\n from impasto.recipe import settings", [("recipe", "settings")]),
        (
            "if TYPE_CHECKING:\n from impasto.pipeline.events import Step",
            [("pipeline", "events")],
        ),
    ],
)
def test_every_kind_of_import_is_seen(code, found):
    assert list(imported(ast.parse(code), "network")) == found


def test_every_module_has_its_place():
    there: dict[str, set[str]] = {}
    for path in [*SOURCES, PACKAGE / "__init__.py"]:
        room, module = place(path)
        there.setdefault(room, set()).update({module} - {"", "__init__"})
    assert there == {room: set(modules) for room, modules in ROOMS.items()}


def test_imports_come_from_rooms_and_modules_before():
    wrong = []
    for path in SOURCES:
        room, module = place(path)
        within = ROOMS[room]
        for other, used in imported(ast.parse(path.read_text(encoding="utf-8")), room):
            if other != room:
                before = HEIGHT[other] < HEIGHT[room]
            else:
                before = module == "__init__" or used in within[: within.index(module)]
            if not before:
                wrong.append(f"{room}/{module} imports {other}.{used}")
    assert wrong == []


TENSOR_LIBRARIES = {"keras", "tensorflow", "jax", "torch"}
"""Packages that take seconds to import."""

MAY_IMPORT = {
    ("compute", "keras_backend"): TENSOR_LIBRARIES,
    ("network", "weights"): {"keras"},  # downloads the published files
}
"""Modules that import a tensor library; ``keras.ops`` comes from the first of them."""


def test_tensor_libraries_are_imported_in_two_modules():
    found = {}
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if packages := set(packages_of(tree)) & TENSOR_LIBRARIES:
            found[place(path)] = packages
    assert found == MAY_IMPORT


def packages_of(tree: ast.AST) -> Iterator[str]:
    """The packages of all absolute imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]


@tiny.needs_kernels
def test_the_native_engine_paints_without_a_tensor_library():
    code = f"""
import sys
import impasto.engines.selection
assert not {TENSOR_LIBRARIES} & set(sys.modules)
import numpy, impasto
image = numpy.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype("uint8")
painted = impasto.stylize(image, image[::-1], size=32, evaluations=2, engine="native")
print(painted.recipe.engine, *({TENSOR_LIBRARIES} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "native\n"), done.stderr


def test_a_package_says_what_it_is_for(subtests):
    for room in (room for room, modules in ROOMS.items() if modules):
        with subtests.test(room):
            face = __import__(f"impasto.{room}", fromlist=["x"])
            assert face.__doc__


MAKERS = {"arange", "array", "empty", "eye", "full", "identity", "linspace", "ones", "zeros"}
"""Functions of Keras's ``ops`` that take a dtype, or make Keras's ``floatx`` without one."""


def without_dtype(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls such as ``ops.zeros(())``, whose dtype the program around the library decides."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        of = ast.unparse(node.func.value)
        positional = 3 if node.func.attr in ("full", "linspace") else 2
        named = any(each.arg == "dtype" for each in node.keywords)
        given = named or (len(node.args) >= positional and node.func.attr != "arange")
        if of in ("ops", "keras.ops") and node.func.attr in MAKERS and not given:
            yield node


def test_no_tensor_is_made_in_the_precision_that_keras_is_set_to():
    (found,) = without_dtype(ast.parse("ops.zeros(()); ops.ones((), 'float32'); np.zeros(3)"))
    assert ast.unparse(found) == "ops.zeros(())"
    places = [
        f"{path.name}:{node.lineno} {ast.unparse(node)}"
        for path in SOURCES
        for node in without_dtype(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert places == []


OF_THE_PROCESS = {
    "os.dup2": {"files", "studio.worker"},
    "files.silenced_stderr": {"compute.keras_backend"},
    "warnings.catch_warnings": set(),
    "warnings.simplefilter": {"cli.app"},
    "warnings.filterwarnings": set(),
    "Image.MAX_IMAGE_PIXELS": set(),
    "pillow_heif.register_heif_opener": set(),
}
"""Calls that change something for every thread of a program, and the modules that may make them:
those of impasto's own processes, and what asks whether it runs in one."""


def test_the_library_leaves_settings_of_the_process_alone():
    found: dict[str, set[str]] = {call: set() for call in OF_THE_PROCESS}
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found.get(f"{node.value.id}.{node.attr}", set()).add(module)
    assert found == OF_THE_PROCESS
