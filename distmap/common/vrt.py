"""GDAL's virtual rasters: what one may name that is not trusted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from distmap.common.headers import SCENE_DRIVERS, picture_driver
from distmap.common.picture_files import PictureError

_LARGEST_MB = 32
_DEEPEST = 8  # VRTs that name VRTs
_TRUST = "give --trust-vrt if you know where it comes from"
# GDAL takes names of elements and attributes in any case, and the one for the other.
_NAME_FILES = frozenset({"sourcefilename", "sourcedataset"})
# Bands of raw bytes and code make any file into pixels; elevations and grids of places are files, too.
_REFUSED = frozenset({"pixelfunctioncode", "pixelfunctionlanguage", "rpctransformer", "geoloctransformer"})
_SUBCLASSES = frozenset(
    {"vrtsourcedrasterband", "vrtderivedrasterband", "vrtwarpedrasterband", "vrtwarpeddataset"}
    | {"vrtpansharpenedrasterband", "vrtpansharpeneddataset"}
)


def check_vrt(path: Path) -> None:
    """Make sure that a VRT names nothing but pictures below its own folder, and so do VRTs that it names.

    Raises
    ------
    PictureError
        It names something else, or is damaged.
    """
    _check(path, path.resolve().parent, set(), 0)


def _check(path: Path, folder: Path, seen: set[Path], depth: int) -> None:
    if depth > _DEEPEST:
        raise PictureError(f"{path}: VRTs that name VRTs, more than {_DEEPEST} deep; {_TRUST}")
    for name, relative in _sources(path):
        source = path.resolve().parent / name if relative else Path(name)
        resolved = source.resolve()
        if name.startswith("/vsi") or not resolved.is_relative_to(folder) or not resolved.is_file():
            raise PictureError(f"{path}: names {name[:200]!r}, which is no picture below its own folder; {_TRUST}")
        if resolved not in seen:
            seen.add(resolved)
            if picture_driver(resolved, SCENE_DRIVERS) == "VRT":
                _check(resolved, folder, seen, depth + 1)


def _sources(path: Path) -> Iterator[tuple[str, bool]]:
    """Names of other files in a VRT, each with whether it is relative to the VRT's folder."""
    for element in _content(path).iter():
        fields = {name.lower(): value for name, value in element.attrib.items()}
        tag = _plain(element.tag)
        kind = fields.get("subclass", "").lower()
        if tag in _REFUSED or not _REFUSED.isdisjoint(fields) or (kind and kind not in _SUBCLASSES):
            raise PictureError(
                f"{path}: has {fields.get('subclass') or element.tag}, which can read any file; {_TRUST}"
            )
        if not _NAME_FILES.isdisjoint(fields) or tag == "subclass" or (tag in _NAME_FILES and len(element)):
            raise PictureError(f"{path}: names files in an unusual way; {_TRUST}")
        if tag in _NAME_FILES:
            yield element.text or "", fields.get("relativetovrt", "0") == "1"


def _content(path: Path) -> ElementTree.Element:
    if path.stat().st_size > _LARGEST_MB * 2**20:
        raise PictureError(f"{path}: a VRT of more than {_LARGEST_MB} MB; {_TRUST}")
    try:
        text = path.read_text(encoding="utf-8-sig")
        # Entities, comments and the like, which GDAL does not write, may be read by it as something else.
        if "<!" in text or "<?" in text.lstrip()[1:]:
            raise PictureError(f"{path}: a VRT with declarations or comments; {_TRUST}")
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise PictureError(f"{path}: not a whole VRT ({error}); write it again") from None
    if _plain(root.tag) != "vrtdataset":
        raise PictureError(f"{path}: not a VRT of a picture, but {root.tag[:80]!r}; give what it describes")
    return root


def _plain(tag: str) -> str:
    """In lower case and without a namespace, of which GDAL knows nothing."""
    return tag.rpartition("}")[2].lower()
