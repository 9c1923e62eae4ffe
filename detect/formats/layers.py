"""Files of vector layers (GeoPackage, GeoJSON, ...) as pyogrio opens them: any path, and one layer of several."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distmap.common.errors import naming
from distmap.common.extras import need
from distmap.common.files import replacing

MARK = "!"  # pyogrio takes what stands before it for an archive
QGIS = "|layername="
BESIDE = ("-journal", "-wal", "-shm")  # what SQLite may leave


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A layer: its reference system, None where it states none; shapely geometries; values by field."""

    path: Path
    name: str
    crs: str | None
    geometry: NDArray[Any]
    fields: dict[str, NDArray[Any]]


def split_layer(source: Path) -> tuple[Path, str | None]:
    """File and layer of ``FILE:LAYER``, or ``FILE|layername=LAYER`` as QGIS writes it; no layer where none is named.

    A file that has such a name itself is that file.
    """
    text = str(source)
    if source.exists():
        return source, None
    if QGIS in text:
        file, _, layer = text.partition(QGIS)
        return Path(file), layer.partition("|")[0]
    for index, sign in enumerate(text):
        if sign == ":" and text[index + 1 :] and Path(text[:index]).is_file():
            return Path(text[:index]), text[index + 1 :]
    return source, None


def read_layer(
    path: Path, name: str | None, *, choose: Callable[[Sequence[str]], Sequence[str]], kind: str = "layer"
) -> Layer:
    """Read the layer of this name, or else the one that ``choose`` leaves.

    Parameters
    ----------
    choose
        Gets the names of the layers that have geometries, and gives those that can be meant. It is asked only where
        there are several.
    kind
        What the file should have been.

    Raises
    ------
    ValueError
        Not readable, no such layer, or several that can be meant.
    """
    need("pyogrio", extra="scenes")
    import pyogrio  # type: ignore[import-untyped]
    import shapely

    with _errors_named(path, kind), readable(path) as safe:
        listed = [(str(layer), str(geometry)) for layer, geometry in pyogrio.list_layers(safe)]
        chosen = _chosen(path, name, [layer for layer, geometry in listed if geometry != "None"], choose)
        meta, _, geometry, columns = pyogrio.raw.read(safe, layer=chosen)
    if geometry is None:
        raise ValueError(f"{path}: layer {chosen} has no geometries")
    with naming(path):
        shapes = np.asarray(shapely.from_wkb(geometry), object)
    return Layer(
        path=path,
        name=chosen,
        crs=None if meta["crs"] is None else str(meta["crs"]),
        geometry=shapes,
        fields=dict(zip(meta["fields"].tolist(), columns, strict=True)),
    )


def layer_fields(path: Path, name: str) -> list[str]:
    """Names of the fields of a layer."""
    import pyogrio

    with _errors_named(path, "layer"), readable(path) as safe:
        return [str(field) for field in pyogrio.read_info(safe, layer=name)["fields"]]


def _chosen(
    path: Path, name: str | None, names: Sequence[str], choose: Callable[[Sequence[str]], Sequence[str]]
) -> str:
    listed = ", ".join(names)
    if name is not None:
        if name not in names:
            raise ValueError(f"{path}: has no layer {name!r} but {listed or 'none'}; give one of them as FILE:LAYER")
        return name
    if not names:
        raise ValueError(f"{path}: has no layer")
    meant = names if len(names) == 1 else choose(names)
    if len(meant) != 1:
        which = ", ".join(meant) if meant else listed
        raise ValueError(
            f"{path}: has several layers ({which}); choose one as {path}:LAYER, such as {path}:{names[-1]}"
        )
    return meant[0]


@contextmanager
def _errors_named(path: Path, kind: str) -> Iterator[None]:
    from pyogrio.errors import (  # type: ignore[import-untyped]
        CRSError,
        DataLayerError,
        DataSourceError,
        FeatureError,
        GeometryError,
    )

    try:
        yield
    except (DataSourceError, DataLayerError, FeatureError, GeometryError, CRSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable {kind} ({error})") from None


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """A name under which pyogrio opens a file or folder of any name; with the files of the same stem beside it."""
    path = path.absolute()
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    if MARK not in str(path):
        yield path
        return
    with _safe_folder() as folder:
        for file in path.parent.glob("*"):
            if file == path or (file.stem == path.stem and file.is_file()):
                (folder / f"layer{file.suffix}").symlink_to(file)
        yield folder / f"layer{path.suffix}"


@contextmanager
def replacing_layers(path: Path) -> Iterator[Path]:
    """`distmap.common.files.replacing` with a name that pyogrio writes to, whatever ``path`` is called.

    Raises
    ------
    OSError
        Pyogrio cannot write, as on a full disk.
    """
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

    with replacing(path) as temporary:
        try:
            if MARK not in str(temporary.absolute()):
                yield temporary
                return
            with _safe_folder() as folder:
                (folder / "target").symlink_to(temporary.parent.absolute())
                safe = folder / "target" / f".{secrets.token_hex(4)}.part{path.suffix}"
                try:
                    yield safe
                    safe.replace(temporary)
                finally:
                    for end in ("", *BESIDE):
                        safe.with_name(safe.name + end).unlink(missing_ok=True)
        except (DataSourceError, DataLayerError, FeatureError) as error:
            raise OSError(f"{path}: cannot be written, is the disk full? ({error})") from error
        finally:
            for end in BESIDE:
                temporary.with_name(temporary.name + end).unlink(missing_ok=True)


@contextmanager
def _safe_folder() -> Iterator[Path]:
    place = "/tmp" if MARK in tempfile.gettempdir() else None
    with tempfile.TemporaryDirectory(prefix="distmap-", dir=place) as folder:
        yield Path(folder)
