"""Runs a pair twice in one process, and prints both times: the second run has everything loaded.

The first run also loads the network and compiles.

    python -m benchmarks.loaded CONTENT STYLE OUT --size 512
"""

import json
import time

import impasto
from benchmarks import processes


def main() -> None:
    """Paint, and print seconds as JSON."""
    arguments = processes.parser_of_pair(__doc__.splitlines()[0]).parse_args()
    took = []
    with impasto.Stylizer(size=arguments.size) as stylizer:
        for _ in range(2):
            began = time.perf_counter()
            *_, last = stylizer.paint(arguments.content, arguments.style)
            took.append(time.perf_counter() - began)
    assert isinstance(last, impasto.Finished)
    last.result.save(arguments.out)
    print(json.dumps(dict(zip(("first", "again"), took, strict=True))))


if __name__ == "__main__":
    main()
