"""Build the optional extension module and the description; everything else is in pyproject.toml.

If no compiler is found, or if it fails, the package is installed without the extension.
"""

import re
import shutil
import tomllib
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDER = "src/impasto/compute/native"
FLAGS = {
    "unix": ["-O3", "-g0", "-ffp-contract=fast", "-fvisibility=hidden"],
    # Clang with Microsoft's options; Microsoft's own compiler has no vector extensions.
    "msvc": ["/O2", "/clang:-O3", "/clang:-ffp-contract=fast"],
}


class Build(build_ext):
    """Chooses the options for the compiler."""

    def build_extension(self, extension: Extension) -> None:
        """Build with the options of this kind of compiler; on Windows by ``clang-cl``."""
        kind = self.compiler.compiler_type
        extension.extra_compile_args = FLAGS.get(kind, FLAGS["unix"])
        if kind == "msvc":
            self.compiler.initialize()
            self.compiler.cc = shutil.which("clang-cl") or self.compiler.cc
        super().build_extension(extension)


ROOT = Path(__file__).parent


def describe() -> str:
    """Return the README for the package index, which has neither its images nor its pages.

    Images are those of the repository, pages of ``docs`` those of the site.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    repository, site = (project["urls"][name] for name in ("Repository", "Documentation"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r'(?<=src=")(?=docs/)|(?<=\]\()(?=docs/images/)', f"{repository}/raw/HEAD/", text)
    text = re.sub(r"(?<=\]\()docs/([\w/-]+)\.md", rf"{site}/\1.html", text)
    return re.sub(r"(?<=\]\()(?=[\w/]+\.\w+\))", f"{repository}/blob/HEAD/", text)


setup(
    long_description=describe(),
    long_description_content_type="text/markdown",
    ext_modules=[
        Extension(
            "impasto.compute.native._kernels",
            [f"{FOLDER}/kernels.c"],
            depends=[f"{FOLDER}/kernels.inc", f"{FOLDER}/winograd.inc"],
            py_limited_api=True,
            optional=True,
        )
    ],
    cmdclass={"build_ext": Build},
    # `make man` writes the pages, before a release is built.
    data_files=[("share/man/man1", sorted(glob("man/*.1")))],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
