"""The whole job: maps to objects, and maps, masks and annotations to files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import MappingProxyType

from detect.conversion import check_target, write_annotations
from detect.detections import Detections
from detect.drawing import write_overlay
from detect.extraction import ExtractionConfig, PictureMap, extract
from detect.formats.geo import Georeferences
from detect.pairing import beside
from detect.rasters import write_map, write_mask
from distmap.common.files import filling
from distmap.common.pictures import read_filled_picture
from distmap.common.progress import Progress, Silent


def extract_and_write(
    maps: Iterable[PictureMap],
    config: ExtractionConfig,
    out: Path,
    *,
    target_format: str = "coco",
    map_folder: Path | None = None,
    mask_folder: Path | None = None,
    overlay_folder: Path | None = None,
    picture_files: Mapping[str, Path] = MappingProxyType({}),
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
    overlay_folder
        Where the pictures go with outlines and boxes drawn on them, one PNG each, see `detect.drawing`; None: nowhere.
    picture_files
        The file of each picture, by name; for what is drawn on them.
    georeferences
        Of the pictures that have one, by name; for the formats that take it.
    progress
        Is told how many pictures are done after Ctrl-C.

    Raises
    ------
    ValueError
        Two pictures have one name, a map is not H x W of finite numbers, or a picture that is to be drawn on has no
        file or another size than its map. Nothing is written then.
    """
    if overlay_folder is not None and mask_folder is not None and overlay_folder.resolve() == mask_folder.resolve():
        raise ValueError(f"--overlays {overlay_folder}: masks go there, under the same names; name another folder")
    check_target(Path(out), target_format=target_format, categories=[config.category])
    found: list[Detections] = []
    stopped: KeyboardInterrupt | None = None
    with ExitStack() as stack:
        maps_into = None if map_folder is None else stack.enter_context(filling(map_folder, "--maps"))
        masks_into = None if mask_folder is None else stack.enter_context(filling(mask_folder, "--masks"))
        overlays_into = None if overlay_folder is None else stack.enter_context(filling(overlay_folder, "--overlays"))
        try:
            for picture in extract(_saved(maps, maps_into), config):
                if masks_into is not None:
                    write_mask(beside(masks_into, picture.name, ".png"), picture.union_mask())
                if overlays_into is not None:
                    if picture.name not in picture_files:
                        raise ValueError(f"{picture.name}: there is no picture of this name to draw on")
                    pixels_HWC = read_filled_picture(picture_files[picture.name])
                    write_overlay(beside(overlays_into, picture.name, ".png"), pixels_HWC, picture)
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
