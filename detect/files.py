"""Files that appear whole or not at all, and pictures that are found by name."""

from __future__ import annotations

import json
import numbers
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

_LONGEST_SIDE = 2**31

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block ends well, remove it otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name[:40]}.") as folder:
        temporary = Path(folder) / path.name
        yield temporary
        temporary.replace(path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; move what it holds into `path` when the block ends well, else drop it.

    Files already in `path` are kept, or replaced where the names agree. When the user stops the program (Ctrl-C) the
    files finished so far are kept too.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path}: is a file, give a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:40]}."))
    try:
        try:
            yield temporary
        except KeyboardInterrupt:
            _move(temporary, path)
            raise
        _move(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(item for item in source.rglob("*") if item.is_file()):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)


def files_under(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Files below `folder` (recursively, sorted, hidden ones left out) whose suffix is one of `suffixes`."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    wanted = frozenset(suffixes)
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in wanted
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def match_names(names: Iterable[str], available: Mapping[str, T]) -> dict[str, T]:
    """Pair picture names with entries of `available`: by path without suffix, else by a stem that is there once.

    Parameters
    ----------
    names
        Posix paths of pictures, relative to their folder.
    available
        What to find, by posix path relative to its own folder.

    Returns
    -------
    Entries found, by picture name; names without an entry are absent.

    Raises
    ------
    ValueError
        Several entries share a picture's stem, or several pictures would get the same entry.
    """
    by_path: dict[str, list[str]] = {}
    by_stem: dict[str, list[str]] = {}
    for key in available:
        by_path.setdefault(without_suffix(key), []).append(key)
        by_stem.setdefault(PurePosixPath(key).stem, []).append(key)
    found: dict[str, str] = {}
    for name in names:
        candidates = by_path.get(without_suffix(name)) or by_stem.get(PurePosixPath(name).stem) or []
        if name in candidates:
            candidates = [name]
        if len(candidates) > 1:
            both = " and ".join(candidates[:2])
            raise ValueError(f"{name}: {both} both fit; keep one, or use the same subfolders")
        if candidates:
            found[name] = candidates[0]
    taken: dict[str, str] = {}
    for name, key in found.items():
        if key in taken:
            raise ValueError(f"{key}: fits both {taken[key]} and {name}; use the same subfolders on both sides")
        taken[key] = name
    return {name: available[key] for name, key in found.items()}


def without_suffix(name: str) -> str:
    """The posix path without its last suffix: ``a/b.c.png`` gives ``a/b.c``."""
    return str(PurePosixPath(name).with_suffix(""))


def beside(folder: Path, name: str, suffix: str) -> Path:
    """Where a file for picture `name` goes: its path without suffix, below `folder`, with another suffix.

    Raises
    ------
    ValueError
        The file is there already, so two pictures differ in their suffix only.
    """
    path = folder / f"{without_suffix(name)}{suffix}"
    if path.exists():
        raise ValueError(f"{name}: {path.name} would be that of another picture too; rename one")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Lines of a UTF-8 text file that are not empty, each with its place ("file: line 3")."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not UTF-8 text") from None
    return [(f"{path}: line {number}", line) for number, line in enumerate(lines, start=1) if line.strip()]


def side_length(value: Any) -> int | None:
    """A picture's height or width as a file says it: 640 and 640.0 are 640; "640", NaN, 0 and the like are None."""
    if isinstance(value, numbers.Integral | float) and 0 < float(value) < _LONGEST_SIDE and float(value).is_integer():
        return int(value)
    return None


def read_json(path: Path) -> Any:
    """Content of a JSON file; ValueError naming it where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except IsADirectoryError:
        raise ValueError(f"{path}: is a folder, expected a JSON file") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from None


def write_json(path: Path, content: Any) -> None:
    """Write compact JSON, whole or not at all; numbers that are not finite are a ValueError."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, allow_nan=False, ensure_ascii=False), encoding="utf-8")


def read_picture(path: Path) -> NDArray[Any]:
    """Read a picture file as it is: H x W or H x W x C, its own dtype, channels in RGB(A) order.

    Raises
    ------
    ValueError
        The file is not a whole picture.
    """
    import cv2
    import numpy as np

    if path.suffix.lower() in {".tif", ".tiff"}:
        with open_raster(path) as source:
            picture: NDArray[Any] = np.moveaxis(source.read(), 0, -1)
        if picture.shape[2] == 1:
            picture = picture[..., 0]
    else:
        content = np.frombuffer(path.read_bytes(), np.uint8)
        decoded = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
        if decoded is None:
            raise ValueError(f"{path}: not a readable picture, remove it or save it again")
        picture = np.asarray(decoded)
        if picture.ndim == 3 and picture.shape[2] >= 3:
            picture = picture[..., [2, 1, 0, *range(3, picture.shape[2])]]
    return picture


@contextmanager
def open_raster(path: Path) -> Iterator[Any]:
    """Open a TIFF with GDAL, which reads every compression and layout of bands."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as source:
                yield source
        except RasterioError as error:
            raise ValueError(f"{path}: not a readable TIFF ({error})") from None


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels of a picture file, read from its header."""
    from PIL import Image, UnidentifiedImageError

    if path.suffix.lower() in {".tif", ".tiff"}:
        with open_raster(path) as source:
            return int(source.height), int(source.width)
    try:
        with Image.open(path) as picture:
            width, height = picture.size
    except UnidentifiedImageError:
        raise ValueError(f"{path}: not a readable picture") from None
    return height, width


def picture_sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Height and width of every picture below a folder, by posix path relative to it."""
    files = files_under(folder, PICTURE_SUFFIXES)
    if not files:
        raise ValueError(f"{folder}: no picture in this folder")
    return {file.relative_to(folder).as_posix(): picture_size(file) for file in files}


def write_mask(path: Path, mask_HW: NDArray[np.bool_]) -> None:
    """Write a mask as an 8-bit PNG of 0 and 255."""
    import cv2
    import numpy as np

    encoded = cv2.imencode(".png", mask_HW.astype(np.uint8) * 255)[1]
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def write_map(path: Path, map_HW: NDArray[np.floating[Any]]) -> None:
    """Write a map as a float32 TIFF, deflate-compressed, same height and width."""
    import numpy as np
    import tifffile

    with whole_file(path) as temporary:
        tifffile.imwrite(temporary, map_HW.astype(np.float32), compression="zlib")


def read_map(path: Path) -> NDArray[np.float32]:
    """Read a map written by `write_map` (or any single-band picture) as float32, H x W.

    Raises
    ------
    ValueError
        The file has several bands, or values that are not finite.
    """
    import numpy as np

    values = read_picture(path)
    if values.ndim != 2:
        raise ValueError(f"{path}: a map has one band, this has {values.shape[2]}")
    map_HW = values.astype(np.float32)
    if not np.isfinite(map_HW).all():
        raise ValueError(f"{path}: the map holds values that are not finite")
    return map_HW
