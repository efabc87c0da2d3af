"""The provenance of a result: its recipe, and everything else that its pixels depend on.

It is stored as JSON in XMP (ISO 16684-1), which all formats with metadata support. Files may come
from untrusted sources, so it is validated when read.
"""

import dataclasses
import html
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from impasto import files
from impasto.errors import ImageError, InputError, SettingError
from impasto.images import arrays
from impasto.images.formats import decode
from impasto.images.load import InputSource
from impasto.recipe.settings import AUTO, Recipe
from impasto.version import __version__

MAX_XMP_BYTES = 60_000
"""Maximum bytes of XMP; JPEG supports 65,502."""

NAMESPACE = "urn:impasto:1"

DAMAGED = "contains a damaged recipe"

_PACKET = """<?xpacket begin="\N{ZERO WIDTH NO-BREAK SPACE}" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:impasto="{namespace}">
<xmp:CreatorTool>impasto {version}</xmp:CreatorTool>
{beside}
<impasto:painting>{recipe}</impasto:painting>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


@dataclass(frozen=True)
class Provenance:
    """Everything that a result depends on; its recipe has the precision in use."""

    recipe: Recipe
    backend: str
    network: Mapping[str, str] = field(hash=False)
    """name and sha256 of the weights"""
    inputs: tuple[InputSource, ...]
    finished: bool = True
    """whether the run is complete, so that the recipe reproduces the result"""
    steered: bool = False
    """whether settings were changed during the run, so that the recipe gives another result"""
    version: str = __version__

    def to_dict(self) -> dict[str, object]:
        """Return the fields for JSON."""
        return {
            "version": self.version,
            "backend": self.backend,
            "network": dict(self.network),
            "finished": self.finished,
            **({"steered": True} if self.steered else {}),
            "inputs": [source._asdict() for source in self.inputs],
            "recipe": dataclasses.asdict(self.recipe),
        }

    def steered_to(self, recipe: Recipe) -> "Provenance":
        """Return a copy with the settings of ``recipe``, changed during the run."""
        before = self.recipe
        kept = {name: getattr(before, name) for name in ("engine", "precision", "init", "tile")}
        used = dataclasses.replace(recipe, **kept)
        return dataclasses.replace(self, recipe=used, steered=True)

    def to_xmp(self, beside: str = "") -> bytes:
        """Return an XMP packet with additional elements ``beside``; deterministic."""
        text = html.escape(json.dumps(self.to_dict()), quote=False)  # json escapes all but ASCII
        packet = _PACKET.format(
            namespace=NAMESPACE, version=self.version, recipe=text, beside=beside
        )
        return packet.encode()


def from_xmp(packet: bytes) -> Provenance:
    """Parse the XMP of :meth:`Provenance.to_xmp`, also if another program rewrote it.

    Raises ImageError for other XMP, and SettingError for a recipe that this version does not
    support.
    """
    text = _find_recipe(packet)
    if text is None:
        raise ImageError(
            "contains no recipe: it was not painted by impasto, or its metadata was lost"
        )
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError):
        raise ImageError(DAMAGED) from None
    return from_dict(stored)


def from_json(data: bytes) -> Provenance:
    """Parse the JSON of :meth:`Provenance.to_dict` in any Unicode encoding.

    Raises the errors of :func:`from_xmp`.
    """
    try:
        stored = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"is not valid JSON: {error}") from None
    if not isinstance(stored, dict) or not {"recipe", "inputs", "network"} <= stored.keys():
        raise ImageError("is JSON, but not the output of `impasto recipe`")
    return from_dict(stored)


def _find_recipe(packet: bytes) -> str | None:
    """Return impasto's property of an XMP packet, with any prefix; None if there is none.

    A property is an element, or an attribute as some programs write it (ISO 16684-1, 7.9.2.2).
    Raises ImageError for a truncated packet or one with declarations, which XMP does not have.
    """
    if NAMESPACE.encode() not in packet:
        return None
    name = f"{{{NAMESPACE}}}painting"
    begin, end = packet.find(b"<"), packet.rfind(b">") + 1
    if b"<!" in packet or end > MAX_XMP_BYTES:
        raise ImageError(DAMAGED)
    try:
        root = ElementTree.fromstring(packet[begin:end])
    except (ElementTree.ParseError, ValueError):
        raise ImageError(DAMAGED) from None
    for element in root.iter():
        if element.tag == name:
            return "".join(element.itertext())
        if name in element.attrib:
            return element.attrib[name]
    return None


def from_dict(stored: Any) -> Provenance:
    """Parse the result of :meth:`Provenance.to_dict`. Raises the errors of :func:`from_xmp`."""
    try:
        sources = [InputSource.from_dict(each) for each in stored["inputs"]]
        network = {str(key): str(value) for key, value in stored["network"].items()}
        version, backend, settings = (stored[name] for name in ("version", "backend", "recipe"))
        finished, steered = stored["finished"] is True, stored.get("steered") is True
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ImageError(DAMAGED) from None
    try:
        recipe = Recipe.from_dict(settings)
    except SettingError as error:
        raise SettingError(f"its recipe, of impasto {str(version)[:20]!r}: {error}") from None
    return Provenance(
        recipe, str(backend), network, tuple(sources), finished, steered, str(version)
    )


def changed_inputs(inputs: Iterable[InputSource], before: Provenance) -> list[str]:
    """Return messages about inputs that differ from those of a result."""
    known = {source.role: source for source in before.inputs}
    others = [
        f"{source.name} is not the {source.role} that the recipe was painted with"
        for source in inputs
        if source.role in known and known[source.role].sha256 != source.sha256
    ]
    stopped = "that result was stopped early; this run is complete"
    return others if before.finished else [*others, stopped]


def read_provenance(path: files.AnyPath) -> Provenance:
    """Read the recipe of a result from its file, or from the JSON that ``impasto recipe`` prints.

    Raises ImageError for a file without a recipe, SettingError for a recipe that this version
    does not understand.
    """
    stored = _read_json(path)
    packet = decode.read_xmp(path) if stored is None else b""
    try:
        return from_xmp(packet) if stored is None else from_json(stored)
    except InputError as error:
        raise type(error)(f"{files.display_path(path)}: {error}") from None


def _read_json(path: files.AnyPath) -> bytes | None:
    """Return the bytes of a file that starts like a JSON object; None for any other file."""
    try:
        with decode.open_source(path) as stream:
            data = stream.read(MAX_XMP_BYTES)
    except ImageError as error:
        raise ImageError(f"{files.display_path(path)}: {error}") from None
    # A byte order mark may come first, and the zeros of UTF-16, as some shells redirect.
    return data if data.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"{") else None


def finish_settings(image: files.AnyPath) -> dict[str, str | int]:
    """Return the changes to the recipe of a result that enlarge it, see :func:`read_provenance`."""
    longest = max(arrays.size_of(decode.read_image(image).pixels))
    return {"init": os.fspath(image), "finished": longest, "tile": AUTO}
