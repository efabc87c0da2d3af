"""Write the data file of packages/vgg16 and build its wheel.

Usage: ``python -m tools.vgg16_package [--file WEIGHTS] [OUT]``. The weights come from the sources
of ``impasto.network.weights``, or from a file, and have its SHA-256. The same weights give the same
bytes.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from safetensors.numpy import save_file

from impasto.network import weights

PACKAGE = Path(__file__).parents[1] / "packages" / "vgg16"
DATA = PACKAGE / "src" / "impasto_vgg16" / weights.NETWORKS["vgg16"].packages[0].file


def write_data(path: Path, file: str | None = None) -> str:
    """Write the validated tensors of VGG16 to ``path``; return their source."""
    loaded = weights.load_weights("vgg16", file)
    save_file(loaded.tensors, path, metadata={"license": loaded.network.license})
    path.chmod(0o644)
    return loaded.source


def build_wheel(package: Path, out: str) -> None:
    """Build the wheel of a data package into the folder ``out``."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", out]
    subprocess.run([*command, str(package)], check=True)


def main() -> None:
    """Write the data file, and build the wheel into the folder OUT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", help="file with the weights, instead of the usual sources")
    parser.add_argument("out", nargs="?", default="dist", help="folder for the wheel")
    given = parser.parse_args()
    print(f"{DATA.name} from {write_data(DATA, given.file)}")
    build_wheel(PACKAGE, given.out)


if __name__ == "__main__":
    main()
