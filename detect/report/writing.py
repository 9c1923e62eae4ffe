"""`write_report`: from maps to the page."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detect.detections import DEFAULT_CATEGORY, Detections
from detect.evaluation import Evaluation, evaluate
from detect.extraction import PictureMap, extract
from detect.extraction_settings import extraction_config
from detect.rasters import read_map, write_map
from detect.report.cards import Card, make_card
from detect.report.content import page_content
from detect.report.ladder import threshold_ladder
from detect.report.page import assemble
from detect.report.run_facts import read_run_facts
from detect.saved_maps import SavedMap
from detect.truth import read_truth
from distmap.common.detection_settings import read_detection_settings
from distmap.common.files import write_text
from distmap.common.pictures import read_filled_picture
from distmap.common.progress import Progress, Silent, tracked


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a report shows, in numbers."""

    pictures: int
    objects: int
    """At the run's own threshold."""
    threshold: float
    thresholds: tuple[float, ...]
    """That the slider stops at."""
    scores: Evaluation | None
    """None without truth."""


def write_report(
    run: str | Path,
    maps: Iterable[PictureMap],
    pictures: Mapping[str, Path],
    out: str | Path,
    *,
    truth: str | Path | None = None,
    group: str | None = None,
    ignore: int | None = None,
    category: str = DEFAULT_CATEGORY,
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Write one HTML page of what a run finds in pictures, which any browser opens without a network.

    Masks, boxes and counts are those of the extraction itself, at the run's own threshold and at up to 22 others.

    Parameters
    ----------
    run
        Folder of the run; its threshold and object size decide what is found.
    maps
        A map for each picture, from a run or from files.
    pictures
        The file of each picture, by the name that its map has.
    out
        The page. It shows pictures whose longer side has more than 256 pixels reduced.
    truth, group, ignore
        As `detect.evaluate` takes them; without truth there are no scores.
    category
        What the objects are called.
    command
        Words of the command that finds the same objects, to which the page adds ``--threshold``; none: it shows none.
    progress
        Is told of maps and pictures done.

    Raises
    ------
    ValueError
        The run has no threshold, two maps have one name, a map has no picture or another size, the page would replace
        a picture, or what the truth is refused for. Nothing is written then.
    """
    run, out, told = Path(run), Path(out), progress or Silent()
    _check_target(out, pictures.values())
    settings, facts = read_detection_settings(run), read_run_facts(run)
    # The ends of the slider depend on all maps, so these wait on the disk.
    with tempfile.TemporaryDirectory(prefix="distmap-") as folder:
        kept = _MapsOnDisk(Path(folder))
        for item in tracked(maps, "mapping", told, total=len(pictures)):
            kept.add(item, pictures)
        if not kept:
            raise ValueError("there is no map, so there is nothing to report")
        ladder = threshold_ladder(settings.threshold, max(kept.peaks.values()))
        chosen = ladder.index(settings.threshold)
        configs = [extraction_config(settings, threshold=level, category=category) for level in ladder]
        known = None if truth is None else read_truth(truth, kept.sizes, ignore=ignore)
        found: list[Detections] = []
        cards: list[Card] = []
        for name in tracked(kept, "drawing", told, total=len(kept)):
            saved = SavedMap(name=name, map_HW=kept[name], scores=kept.scores[name])
            levels = [next(extract([saved], config)) for config in configs]
            picture_HWC = read_filled_picture(pictures[name])
            if picture_HWC.shape[:2] != saved.map_HW.shape:
                height, width = saved.map_HW.shape
                raise ValueError(f"{pictures[name]}: is not {width} x {height} pixels, as its map is")
            of_picture = None if known is None else known.pictures.get(name)
            cards.append(make_card(picture_HWC, saved.map_HW, levels, chosen, settings.threshold, of_picture))
            found.append(levels[chosen])
        scores = None if known is None else evaluate(found, known, maps=kept, group=group)
    content = page_content(facts, settings, cards, scores, ladder=ladder, command=command)
    write_text(out, assemble(content, f"Report on {facts.name}"))
    return Report(
        pictures=len(cards),
        objects=sum(len(picture.instances) for picture in found),
        threshold=settings.threshold,
        thresholds=ladder,
        scores=scores,
    )


def _check_target(out: Path, pictures: Iterable[Path]) -> None:
    if out.is_dir():
        raise ValueError(f"--out {out}: is a folder, give the name of a file")
    if out.exists() and any(out.samefile(picture) for picture in pictures if picture.exists()):
        raise ValueError(f"--out {out}: is one of the pictures, which it would replace; name another file")


class _MapsOnDisk(Mapping[str, NDArray[np.float32]]):
    """Maps by name of picture, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Path] = {}
        self.scores: dict[str, dict[str, float]] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        """Height and width."""
        self.peaks: dict[str, float] = {}

    def add(self, item: PictureMap, pictures: Mapping[str, Path]) -> None:
        """Write a map; raises ValueError where its picture is not known, or has one already."""
        if item.name in self._files:
            raise ValueError(f"{item.name}: two pictures have this name, give the one folder that holds both")
        if item.name not in pictures:
            raise ValueError(f"{item.name}: a map without a picture")
        self._files[item.name] = self._folder / f"{len(self._files)}.tiff"
        write_map(self._files[item.name], item.map_HW)
        height, width = item.map_HW.shape
        self.sizes[item.name] = height, width
        self.peaks[item.name] = float(item.map_HW.max())
        self.scores[item.name] = dict(item.scores)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        return read_map(self._files[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)
