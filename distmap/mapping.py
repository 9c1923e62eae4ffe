"""Writing maps to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

from distmap.files import replacing
from distmap.images import PictureError, find_pictures, read_picture
from distmap.model import DistinctionModel
from distmap.progress import Progress, Silent


def write_maps(
    model: DistinctionModel,
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    preview: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the map of every picture in files and folders as float32 TIFF, ``OUT/<name of the picture>.tiff``.

    Names keep their sub-folders. With ``preview`` a PNG of picture and map stands beside each. Returns the TIFFs.

    Raises
    ------
    PictureError
        A picture cannot be used (maps written before it stay), two pictures would give the same file, or a file would
        replace one of the pictures.
    """
    from distmap.sheets import show_map, show_picture, write_sheet

    progress = progress or Silent()
    files = find_pictures(sources)
    targets = [(Path(out) / file.name).with_suffix(".tiff") for file in files]
    seen: dict[Path, str] = {}
    pictures = {file.path.resolve() for file in files}
    for file, target in zip(files, targets, strict=True):
        for written in (target, target.with_suffix(".png")) if preview else (target,):
            if written.resolve() in pictures:
                raise PictureError(f"--out {out}: {written} would replace a picture; name another folder")
        if target in seen:
            raise PictureError(f"{file.path}: its map would have the name of that of {seen[target]}; rename one")
        seen[target] = str(file.path)
    for index, (file, target, result) in enumerate(zip(files, targets, model.map_files(files), strict=True)):
        progress.update("mapping", index / len(files), {})
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            tifffile.imwrite(temporary, result.map_HW)
        if preview:
            scaled = model.scaling.apply(read_picture(file.path))
            peak = float(np.abs(result.map_HW).max())
            write_sheet(target.with_suffix(".png"), [[show_picture(scaled), show_map(result.map_HW, peak)]], zoom=1)
    return targets
