"""The whole job: maps to objects, and maps, masks and annotations to files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from detect.conversion import check_target, write_annotations
from detect.detections import Detections
from detect.extraction import ExtractionConfig, PictureMap, extract
from detect.formats.geo import Georeferences
from detect.pairing import beside
from detect.rasters import write_map, write_mask
from distmap.common.files import filling
from distmap.common.progress import Progress, Silent


def extract_and_write(
    maps: Iterable[PictureMap],
    config: ExtractionConfig,
    out: Path,
    *,
    target_format: str = "coco",
    map_folder: Path | None = None,
    mask_folder: Path | None = None,
    georeferences: Georeferences | None = None,
    progress: Progress | None = None,
) -> list[Detections]:
    """Find the objects of each map, and write them all.

    All files appear at the end. After Ctrl-C those of the pictures that are done are written before it goes on.

    Parameters
    ----------
    out
        File of annotations; a folder for some formats.
    map_folder
        Where the maps go, one float32 TIFF a picture; None: nowhere.
    mask_folder
        Where the masks go, one 0/255 PNG a picture; None: nowhere.
    georeferences
        Of the pictures that have one, by name; for the formats that take it.
    progress
        Is told how many pictures are done after Ctrl-C.

    Raises
    ------
    ValueError
        Two pictures have one name, or a map is not H x W of finite numbers. Nothing is written then.
    """
    check_target(Path(out), target_format=target_format, categories=[config.category])
    found: list[Detections] = []
    stopped: KeyboardInterrupt | None = None
    with ExitStack() as stack:
        maps_into = None if map_folder is None else stack.enter_context(filling(map_folder, "--maps"))
        masks_into = None if mask_folder is None else stack.enter_context(filling(mask_folder, "--masks"))
        try:
            for picture in extract(_saved(maps, maps_into), config):
                if masks_into is not None:
                    write_mask(beside(masks_into, picture.name, ".png"), picture.union_mask())
                found.append(picture)
        except KeyboardInterrupt as signal:
            stopped = signal
        if found or stopped is None:
            write = partial(
                write_annotations,
                out,
                found,
                target_format=target_format,
                categories=[config.category],
                georeferences=georeferences,
            )
            try:
                write()
            except KeyboardInterrupt as signal:
                if stopped is not None:
                    raise
                stopped = signal
                write()
        if stopped is not None:
            (progress or Silent()).say(f"{len(found)} pictures are done and saved")
            raise stopped
    return found


def _saved(maps: Iterable[PictureMap], folder: Path | None) -> Iterator[PictureMap]:
    """The maps as they come, each written into the folder."""
    for item in maps:
        if folder is not None:
            write_map(beside(folder, item.name, ".tiff"), item.map_HW)
        yield item
