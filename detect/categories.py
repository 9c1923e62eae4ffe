"""Which categories a file lists, in which order and with which numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from detect.detections import DEFAULT_CATEGORY, Category, Detections


def with_those_of(found: Iterable[Detections], listed: Sequence[Category | str]) -> tuple[Category, ...]:
    """The categories listed, in their order, then those that objects have beside them, by name."""
    result = [item if isinstance(item, Category) else Category(name=item) for item in listed]
    known = {item.name for item in result}
    used = {instance.category for picture in found for instance in picture.instances}
    return (*result, *(Category(name=name) for name in sorted(used - known)))


def numbers(categories: Sequence[Category]) -> dict[str, int]:
    """A number for each name: the file's own where it has one, else those that follow, from 1."""
    return dict(zip([item.name for item in categories], _own_or_next([c.number for c in categories]), strict=True))


def positions(categories: Sequence[Category]) -> dict[str, int]:
    """A number from 0 for each name, without gaps: the file's own where they are so, else the place in the list."""
    own = [item.number for item in categories]
    found = own if sorted(-1 if number is None else number for number in own) == list(range(len(own))) else None
    return {item.name: place if found is None else (found[place] or 0) for place, item in enumerate(categories)}


def picture_numbers(pictures: Sequence[Detections]) -> list[int]:
    """A number for each picture: the file's own where it has one, else those that follow, from 1."""
    return _own_or_next([picture.number for picture in pictures])


def _own_or_next(given: Sequence[int | None]) -> list[int]:
    own = [number for number in given if number is not None]
    if len(set(own)) < len(own):
        return list(range(1, len(given) + 1))
    following = iter(range(max([0, *own]) + 1, max([0, *own]) + len(given) + 1))
    return [next(following) if number is None else number for number in given]


def agreeing(there: Mapping[int, str], wanted: Mapping[str, int], path: Path) -> dict[str, int]:
    """The numbers of classes that a folder has already, which fit those of a second data set.

    Raises
    ------
    ValueError
        The second has classes that the folder has not.
    """
    known = {name: number for number, name in sorted(there.items(), reverse=True)}
    new = [name for name in wanted if name not in known]
    if new:
        raise ValueError(
            f"{path}: lists the classes {', '.join(known)}, not {', '.join(new)}; write into another folder, or give"
            " both data sets one list with --categories"
        )
    return known


def default_if_none(categories: Sequence[Category]) -> tuple[Category, ...]:
    """The categories; where there are none, the one that all objects count as."""
    return tuple(categories) or (Category(name=DEFAULT_CATEGORY),)
