"""Build the optional extension module; everything else is in pyproject.toml.

If no compiler is found, or if it fails, the package is installed without the extension.
"""

import shutil
from glob import glob

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


setup(
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
