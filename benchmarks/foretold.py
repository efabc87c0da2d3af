"""What impasto expects of one painting, as JSON, in a process of its own.

python -m benchmarks.foretold CONTENT STYLE SETTINGS-AS-JSON
"""

import json
import sys

from impasto.painting import forecast, inputs, pyramid
from impasto.painting.climb import Engines
from impasto.pictures import raster
from impasto.recipe import settings as recipe


def main() -> None:
    """Print the seconds and the bytes that are expected."""
    content, style, settings = sys.argv[1:]
    chosen = recipe.make(**json.loads(settings))
    read = inputs.prepare(chosen, content, style)
    levels = pyramid.schedule(*raster.size_of(read.content), chosen)
    made = forecast.make(Engines(), chosen, read, levels)
    print(json.dumps({"seconds": made.start + made.painting, "bytes": made.peak}))


if __name__ == "__main__":
    main()
