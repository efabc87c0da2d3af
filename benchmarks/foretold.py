"""Prints the forecast of a run as JSON, in a separate process.

python -m benchmarks.foretold CONTENT STYLE SETTINGS-AS-JSON
"""

import json
import sys

import impasto


def main() -> None:
    """Print the seconds and the bytes that are expected."""
    content, style, settings = sys.argv[1:]
    with impasto.Stylizer(**json.loads(settings)) as stylizer:
        made = stylizer.forecast(stylizer.prepare(content, style), measure=True)
    print(json.dumps({"seconds": made.start + made.levels_seconds, "bytes": made.peak}))


if __name__ == "__main__":
    main()
