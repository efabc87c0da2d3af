"""Fail if a page of the built site loads anything from elsewhere. ``make site``.

Usage: ``python -m tools.site_check FOLDER``.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
"""Elements that load a file, and the attribute with its address."""

LOADED_LINKS = {
    "stylesheet",
    "icon",
    "preload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "manifest",
}
"""Values of ``rel`` with which the element ``link`` loads a file or connects."""

CSS_ADDRESS = re.compile(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)")


class _Loads(HTMLParser):
    """Collects the addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the address of an element that loads a file."""
        given = {name: value or "" for name, value in attrs}
        loaded = LOADED_LINKS & set(given.get("rel", "").split())
        attribute = LOADING.get(tag) or ("href" if tag == "link" and loaded else None)
        if attribute and attribute in given:
            self.addresses.append(given[attribute])


def foreign_addresses(folder: Path) -> list[str]:
    """Return ``page: address`` for each file that pages and style sheets load from elsewhere."""
    found = []
    for path in sorted(folder.rglob("*.html")):
        page = _Loads()
        page.feed(path.read_text(encoding="utf-8"))
        found += [f"{path.name}: {each}" for each in page.addresses if is_foreign(each)]
    for path in sorted(folder.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        found += [f"{path.name}: {each}" for each in CSS_ADDRESS.findall(text)]
    return found


def is_foreign(address: str) -> bool:
    """Return whether an address is on another host.

    >>> is_foreign("https://example.org/a.js"), is_foreign("//cdn/a.js"), is_foreign("a/b.js")
    (True, True, False)
    """
    return address.startswith(("http:", "https:", "//"))


def main() -> None:
    """Print the addresses, and exit with status 1 if there are any."""
    folder = Path(sys.argv[1])
    if not (folder / "index.html").is_file():
        sys.exit(f"{folder} has no index.html: run make site")
    if found := foreign_addresses(folder):
        sys.exit("loaded from elsewhere:\n" + "\n".join(found))


if __name__ == "__main__":
    main()
