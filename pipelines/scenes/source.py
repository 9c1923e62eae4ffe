"""A scene on disk: its bands, which pixels hold something, and where it lies."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from distmap.common.headers import SCENE_DRIVERS
from distmap.common.pictures import grid_anchor
from distmap.common.rasters import Raster, open_raster

Pixels: TypeAlias = NDArray[np.generic]
Valid: TypeAlias = NDArray[np.bool_]
Affine6: TypeAlias = tuple[float, float, float, float, float, float]

IDENTITY: Affine6 = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CACHE_MB = 128  # GDAL's cache of decoded blocks


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is known of a scene before its pixels are read.

    ``bands``: numbers of the bands in use, from 1. ``transform``: a, b, c, d, e, f of x = a column + b row + c,
    y = d column + e row + f. ``crs``: "EPSG:..." or WKT, None for plain pixels. ``block_HW``: the file's own blocks.
    ``trust_vrt``: whether a VRT may name files anywhere. Rows and columns are those that viewers show.
    """

    path: Path
    height: int
    width: int
    bands: tuple[int, ...]
    band_count: int
    dtype: str
    transform: Affine6
    crs: str | None
    block_HW: tuple[int, int]
    all_valid: bool
    trust_vrt: bool = False

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def anchor(self) -> tuple[int, int]:
        """Row and column of the scene's first pixel, see `grid_anchor`; (0, 0) without a georeference."""
        return grid_anchor(self.transform)

    def to_world(self, points_N2: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map coordinates (x, y) of pixel-edge coordinates (column, row)."""
        a, b, c, d, e, f = self.transform
        return np.asarray(points_N2 @ np.array([[a, d], [b, e]]) + [c, f])

    def to_pixels(self, points_N2: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixel-edge coordinates (column, row) of map coordinates (x, y)."""
        a, b, c, d, e, f = self.transform
        return np.asarray((points_N2 - [c, f]) @ np.linalg.inv(np.array([[a, d], [b, e]])))


def open_scene(path: Path, bands: Sequence[int] | None, needed: int | None, *, trust_vrt: bool = False) -> Scene:
    """Look at a scene's header.

    Parameters
    ----------
    bands
        Numbers of the bands to use, from 1; None: red, green and blue where three are needed and the file names them,
        else the first ones; alpha is never one of them.
    needed
        How many bands the run was trained on; None: any number.
    trust_vrt
        Whether a VRT may name files that are not below its own folder, and addresses.

    Raises
    ------
    ValueError
        Not a scene, several pages, bands that it does not have or too few of them, a palette, complex numbers, a VRT
        that names what it may not, or a reference system that PROJ does not know.
    """
    from rasterio.enums import ColorInterp, MaskFlags

    with _opened(path, trust_vrt) as raster:
        source = raster.source
        kinds = source.colorinterp
        colours = [index for index, kind in enumerate(kinds, start=1) if kind != ColorInterp.alpha]
        if bands is not None:
            chosen = tuple(bands)
            for band in chosen:
                if not 1 <= band <= source.count:
                    raise ValueError(f"{path}: has no band {band}, it has {source.count}; choose others with --bands")
        else:
            named = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            rgb = [kinds.index(kind) + 1 for kind in named if kind in kinds]
            wanted = len(colours) if needed is None else needed
            chosen = tuple(rgb if wanted == len(rgb) == 3 else colours[:wanted])
        if needed is not None and len(chosen) != needed:
            raise ValueError(f"{path}: gives {len(chosen)} band(s) where the run was trained on {needed}")
        if not chosen:
            raise ValueError(f"{path}: has no band but alpha")
        if raster.palette:
            raise ValueError(f"{path}: is a palette picture; expand it first with gdal_translate -expand rgb")
        types = {source.dtypes[band - 1] for band in chosen}
        if len(types) > 1 or np.dtype(min(types)).kind not in "uif":
            raise ValueError(f"{path}: bands of type {', '.join(sorted(types))} cannot be used; convert them to one")
        return Scene(
            path=path,
            height=raster.height,
            width=raster.width,
            bands=chosen,
            band_count=source.count,
            dtype=types.pop(),
            transform=_transform(path, source),
            crs=_reference_system(path, source),
            block_HW=source.block_shapes[0],
            all_valid=all(MaskFlags.all_valid in source.mask_flag_enums[band - 1] for band in chosen),
            trust_vrt=trust_vrt,
        )


def _transform(path: Path, source: Any) -> Affine6:
    a, b, c, d, e, f = (float(value) for value in tuple(source.transform)[:6])
    if not all(map(math.isfinite, (a, b, c, d, e, f))) or a * e == b * d:
        raise ValueError(f"{path}: its transform {(a, b, c, d, e, f)} gives the pixels no area; georeference it again")
    return a, b, c, d, e, f


def _reference_system(path: Path, source: Any) -> str | None:
    from rasterio.errors import CRSError
    from rasterio.warp import transform

    if source.crs is None:
        return None
    try:
        epsg = source.crs.to_epsg()
        crs = f"EPSG:{epsg}" if epsg else source.crs.to_wkt()
        transform(source.crs, "EPSG:4326", [source.transform.c], [source.transform.f])
    except Exception as error:  # GDAL's own errors have no public base
        if not isinstance(error, CRSError) and type(error).__module__ != "rasterio._err":
            raise
        hint = "assign another with gdal_edit.py -a_srs"
        raise ValueError(f"{path}: PROJ cannot use its reference system ({error}); {hint}") from None
    return crs


@contextmanager
def _opened(path: Path, trust_vrt: bool, *, checked: bool = False) -> Iterator[Raster]:
    from rasterio.errors import RasterioError

    options = {"GDAL_CACHEMAX": CACHE_MB}
    try:
        with open_raster(
            path, drivers=SCENE_DRIVERS, options=options, trust_vrt=trust_vrt, vrt_checked=checked
        ) as raster:
            yield raster
    except RasterioError as error:
        raise ValueError(f"{path}: not a whole scene (damaged or cut short?): {error}") from None


def quiet_open(path: Path) -> Any:
    """Open a file with rasterio, which would warn of those that have no georeference."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path)


class SceneReader:
    """An open scene; give each thread its own."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._opened = _opened(scene.path, scene.trust_vrt, checked=True)
        self._raster = self._opened.__enter__()

    def __enter__(self) -> SceneReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.__exit__(None, None, None)

    def read(self, top: int, left: int, height: int, width: int) -> tuple[Pixels, Valid]:
        """Pixels H x W x C of a window that may reach beyond the scene, and which of them hold something.

        Nothing is held by pixels beyond the scene, under a mask, with alpha 0, with a nodata value in all bands in use,
        or with a value that is not finite.

        Raises
        ------
        ValueError
            The file is damaged there.
        """
        from rasterio.errors import RasterioError

        scene = self.scene
        first_row, first_column = max(0, top), max(0, left)
        rows, columns = min(scene.height, top + height) - first_row, min(scene.width, left + width) - first_column
        pixels = np.zeros((height, width, len(scene.bands)), scene.dtype)
        valid = np.zeros((height, width), bool)
        if rows <= 0 or columns <= 0:
            return pixels, valid
        window = (first_row, first_column, rows, columns)
        inside = (
            slice(first_row - top, first_row - top + rows),
            slice(first_column - left, first_column - left + columns),
        )
        try:
            pixels[inside] = self._raster.read(scene.bands, window)
            if scene.all_valid:
                valid[inside] = True
            else:
                valid[inside] = self._raster.read_valid(scene.bands, window)
        except RasterioError as error:
            raise ValueError(f"{scene.path}: damaged or cut short near row {first_row} ({error})") from None
        if pixels.dtype.kind == "f":
            finite = np.isfinite(pixels).all(axis=-1)
            valid &= finite
            pixels[~finite] = 0
        return pixels, valid
