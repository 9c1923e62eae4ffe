"""What the first bytes of a picture tell: its format, and tags of TIFF and EXIF."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from distmap.common.picture_files import PictureError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = {
    PNG_SIGNATURE: "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
}
_GIF = (b"GIF87a", b"GIF89a")
PICTURE_DRIVERS = frozenset({"PNG", "JPEG", "BMP", "WEBP", "GTiff"})
SCENE_DRIVERS = PICTURE_DRIVERS | {"JP2OpenJPEG", "VRT"}
ORIENTATION, PHOTOMETRIC, DEPTH = 274, 262, 32997  # tags
_MOST_TAGS = 4096
_MOST_BLOCKS = 500_000  # a PNG of gigabytes has as many


def picture_driver(path: Path, drivers: frozenset[str]) -> str:
    """The format of a file as GDAL calls it, told by how it begins; raises PictureError where it is not allowed."""
    with path.open("rb") as file:
        start = file.read(512)
    driver = next((driver for signature, driver in _SIGNATURES.items() if start.startswith(signature)), None)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        driver = "WEBP"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<" and path.suffix.lower() == ".vrt":
        driver = "VRT"
    if driver in drivers:
        return driver
    if start.startswith(_GIF):
        raise PictureError(f"{path}: is a GIF, which may hold several pages; save each as a PNG")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        raise PictureError(f"{path}: is text that describes a picture (VRT, WMS, ...), not one; give what it describes")
    formats = "PNG, JPEG, BMP, WebP or TIFF" + (", or JPEG 2000 or a VRT named .vrt" if "VRT" in drivers else "")
    raise PictureError(
        f"{path}: not a whole picture of a known format ({formats}; damaged or cut short?); replace or remove it"
    )


def is_whole_png(path: Path) -> bool:
    """GDAL fills a PNG that is cut short with zeros and says nothing; a whole one ends with its IEND chunk."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1024))
        return b"IEND" in file.read()


def header_tags(path: Path, driver: str) -> dict[int, int]:
    """Numbers by tag, from the header of a TIFF or the EXIF block of another picture; none where it is damaged."""
    with path.open("rb") as file:
        try:
            start = {"GTiff": _no_block, "JPEG": _jpeg_block, "PNG": _png_block, "WEBP": _webp_block}[driver](file)
            return {} if start is None else _first_directory(file, start)
        except (KeyError, struct.error, OverflowError, OSError):
            return {}


def frame_count(path: Path, driver: str) -> int:
    """Pictures of an animated PNG or WebP, or layers of a TIFF that has them in one page; 1 for others."""
    with path.open("rb") as file:
        try:
            if driver == "PNG":
                for kind, place in _png_chunks(file):
                    if kind == b"acTL":
                        file.seek(place)
                        return int(struct.unpack(">I", file.read(4))[0])
                    if kind == b"IDAT":
                        break
            if driver == "WEBP":
                return max(1, sum(kind == b"ANMF" for kind, _ in _webp_chunks(file)))
            return _first_directory(file, 0).get(DEPTH, 1) if driver == "GTiff" else 1
        except (KeyError, struct.error, OverflowError, OSError):
            return 1


def _no_block(_file: BinaryIO) -> int:
    return 0


def _jpeg_block(file: BinaryIO) -> int | None:
    place = 2
    for _ in range(_MOST_BLOCKS):
        file.seek(place)
        mark, kind, length = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF or kind in (0xD9, 0xDA):
            return None
        if kind == 0xFF:  # filling
            place += 1
            continue
        if kind == 0xE1 and file.read(6) == b"Exif\0\0":
            return place + 10
        place += 2 + length
    return None


def _png_block(file: BinaryIO) -> int | None:
    return next((place for kind, place in _png_chunks(file) if kind == b"eXIf"), None)


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kinds of chunks and where their data begin."""
    place = len(PNG_SIGNATURE)
    for _ in range(_MOST_BLOCKS):
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"IEND":
            return
        yield kind, place + 8
        place += length + 12


def _webp_block(file: BinaryIO) -> int | None:
    for kind, place in _webp_chunks(file):
        if kind == b"EXIF":
            file.seek(place)
            begins = file.read(6) == b"Exif\0\0"  # which some programs write and the format does not ask for
            return place + (6 if begins else 0)
    return None


def _webp_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    place = 12
    for _ in range(_MOST_BLOCKS):
        file.seek(place)
        header = file.read(8)
        if len(header) < 8:
            return
        kind, length = struct.unpack("<4sI", header)
        yield kind, place + 8
        place += 8 + length + length % 2


def _first_directory(file: BinaryIO, start: int) -> dict[int, int]:
    """Tags of one 16-bit or 32-bit number in the first directory of a TIFF (or BigTIFF) that begins at ``start``."""
    file.seek(start)
    order = {b"II": "<", b"MM": ">"}[file.read(2)]
    large = struct.unpack(f"{order}H", file.read(2))[0] == 43
    if large:
        _, place = struct.unpack(f"{order}IQ", file.read(12))
    else:
        (place,) = struct.unpack(f"{order}I", file.read(4))
    file.seek(start + place)
    (count,) = struct.unpack(f"{order}Q" if large else f"{order}H", file.read(8 if large else 2))
    found = {}
    for _ in range(min(count, _MOST_TAGS)):
        entry = file.read(20 if large else 12)
        tag, kind = struct.unpack(f"{order}HH", entry[:4])
        value = entry[12:16] if large else entry[8:12]
        if kind in (3, 4):
            (found[tag],) = struct.unpack(f"{order}H", value[:2]) if kind == 3 else struct.unpack(f"{order}I", value)
    return found
