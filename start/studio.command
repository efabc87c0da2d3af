#!/bin/sh
# Installs impasto into the folder .venv of this repository on the first start, and opens the studio.
# Double-click on macOS; on Linux run as a program.
set -eu
cd "$(dirname "$0")/.."
if [ ! -x .venv/bin/impasto ] || ! .venv/bin/python -c "import starlette, uvicorn" 2>/dev/null; then
    echo "Installing impasto. This takes a few minutes, once."
    for python in python3.13 python3.12 python3.11 python3; do
        if command -v "$python" >/dev/null &&
            "$python" -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))"; then
            break
        fi
        python=
    done
    if [ -z "$python" ]; then
        echo "Install Python 3.11 to 3.13 from https://www.python.org/downloads/ and start again."
        exit 1
    fi
    "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check '.[studio,heif]'
fi
echo "The studio opens in your browser. Close this window to stop it."
exec .venv/bin/impasto studio "$HOME/impasto-studio"
