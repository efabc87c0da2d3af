"""Paint a pair twice in one process, and print what each took: the second has all loaded.

python -m benchmarks.loaded CONTENT STYLE OUT --size 512
"""

import argparse
import json
import time

import impasto


def main() -> None:
    """Paint, and print seconds as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("out")
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args()
    took = []
    with impasto.Stylizer(size=arguments.size) as stylizer:
        for _ in range(2):
            began = time.perf_counter()
            *_, last = stylizer.paint(arguments.content, arguments.style)
            took.append(time.perf_counter() - began)
    assert isinstance(last, impasto.Painted)
    last.result.save(arguments.out)
    print(json.dumps(dict(zip(("first", "again"), took, strict=True))))


if __name__ == "__main__":
    main()
