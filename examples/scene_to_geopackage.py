"""From a scene to a layer: map a GeoTIFF with a run, and list the largest things found in it.

    python examples/scene_to_geopackage.py runs/first orthophoto.tif --out layers

``layers/orthophoto.gpkg`` opens in QGIS; its layer ``objects`` has the outlines, ``boxes`` the oriented boxes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyogrio  # type: ignore[import-untyped]
import shapely

import pipelines


def main(arguments: list[str] | None = None) -> None:
    """Map a scene and print its largest objects."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="made by distmap fit")
    parser.add_argument("scene", type=Path, help="a GeoTIFF of any size")
    parser.add_argument("--out", type=Path, default=Path("layers"))
    given = parser.parse_args(arguments)

    (done,) = pipelines.geotiff(given.run, [given.scene], out=given.out, overwrite=True)
    print(f"{done.objects} objects; {', '.join(path.name for path in done.files)} in {given.out}")

    layer = given.out / f"{given.scene.stem}.gpkg"
    meta, _, geometry, columns = pyogrio.raw.read(layer, layer="objects")
    table = dict(zip(meta["fields"], columns, strict=True))
    size = "area_m2" if "area_m2" in table else "area_px"  # no metres without a reference system
    for index in np.argsort(-table[size])[:5]:
        centre = shapely.centroid(shapely.from_wkb(geometry[index]))
        print(f"{size} {table[size][index]:.1f}  score {table['score'][index]:.2f}  at {centre.x:.1f}, {centre.y:.1f}")


if __name__ == "__main__":
    main()
