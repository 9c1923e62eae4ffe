"""The page of results, made of the stored rows: what stands between two comments is replaced, the rest is kept."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from distmap.common.files import write_text
from pipelines.quality.ablations import DEFAULT
from pipelines.quality.results import Result, read_result
from pipelines.quality.rows import Part, Row, Score
from pipelines.quality.runner import FULL
from pipelines.quality.scores import KINDS

BEGIN = "<!-- quality: begin; `make bench-quality` writes what follows -->"
END = "<!-- quality: end -->"
NO_VALUE = "–"
NAMED_GROUPS = 6  # at most so many are named

INTRODUCTION = """\
Every row learns with the default settings (but for what is said of it) in the time given for the whole of
`distmap fit`, from pictures whose labels are the two folders alone, and is scored on patients, places or scenes that
were set aside. A range is from the least to the greatest of the seeds. *Cores used* are CPU seconds over seconds during
`fit`, *load* is the number of processes that ran or waited when it began: on a busy machine fewer steps are made in the
same time. Where commands name `build/quality`, they make the same by hand."""


def read_results(folder: Path, rows: Sequence[Row], *, budget_scale: float = FULL) -> tuple[list[Result], int]:
    """Results of the rows as they are now, in their order, and how many files of rows that were other ones then.

    Raises
    ------
    ValueError
        A file is no result, or was made with another time than ``budget_scale`` says.
    """
    known = {row.name: row for row in rows}
    place = {row.name: index for index, row in enumerate(rows)}
    found, others = [], 0
    for path in sorted(folder.glob("*.json")):
        result = read_result(path)
        if result.budget_scale != budget_scale:
            raise ValueError(
                f"{path}: made in {result.budget_scale:g} of the time, so its figures mean nothing here; remove it"
            )
        if result.row in known and result.protocol == known[result.row].protocol():
            found.append(result)
        else:
            others += 1
    return sorted(found, key=lambda result: (place[result.row], result.seed)), others


def write_page(path: Path, text: str) -> None:
    """Put the text between the two comments of the page.

    Raises
    ------
    ValueError
        The page is not there, or does not hold both comments once, in their order.
    """
    if not path.is_file():
        raise ValueError(f"{path}: not there; --page names the page that holds the two comments")
    page = path.read_text(encoding="utf-8")
    begin, end = page.find(BEGIN), page.find(END)
    if page.count(BEGIN) != 1 or page.count(END) != 1 or end < begin:
        raise ValueError(f"{path}: must hold the lines {BEGIN} and {END} once, in this order")
    write_text(path, f"{page[: begin + len(BEGIN)]}\n\n{text.strip()}\n\n{page[end:]}")


def render(results: Sequence[Result], rows: Sequence[Row], *, budget_scale: float = FULL) -> str:
    """The page's generated part as Markdown."""
    by_row: dict[str, list[Result]] = {}
    for result in results:
        by_row.setdefault(result.row, []).append(result)
    done = [row for row in rows if row.name in by_row]

    def of(part: Part) -> list[Row]:
        return [row for row in done if row.part == part]

    blocks = ["## Row by row: `make bench-quality`"]
    if budget_scale != FULL:
        blocks.append(
            f"**A trial with {budget_scale:g} of the time: it shows that rows work; its figures mean nothing.**"
        )
    blocks += [INTRODUCTION, _machines(results)]
    if of("targets"):
        blocks += ["### Floors and aims", _targets(of("targets"), by_row)]
        for row in of("targets"):
            blocks += _row(row, by_row[row.name])
    if of("folders"):
        blocks += _folders(of("folders"), by_row)
    if of("ablations"):
        blocks += _ablations(of("ablations"), by_row)
    blocks.append(_missing(rows, by_row))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _missing(rows: Sequence[Row], by_row: Mapping[str, Sequence[Result]]) -> str:
    """What is still to run; ablations, which are many, by their number."""
    to_run = {
        row.name: seeds
        for row in rows
        if (seeds := sorted(set(row.seeds) - {result.seed for result in by_row.get(row.name, [])}))
    }
    ablations = [row.name for row in rows if row.part == "ablations" and row.name in to_run]
    listed = [
        f"`{name}` (seed {', '.join(map(str, seeds))})" for name, seeds in to_run.items() if name not in ablations
    ]
    listed += [_plural(len(ablations), "ablation")] if ablations else []
    return f"Not run yet: {', '.join(listed)}." if listed else ""


def _machines(results: Sequence[Result]) -> str:
    if not results:
        return ""
    seen = sorted({(item.machine.device, item.machine.cores, item.machine.threads) for item in results})
    kinds = "; ".join(
        f"{device}, {_plural(cores, 'core')}, {_plural(threads, 'torch thread')}" for device, cores, threads in seen
    )
    return f"Machine: {kinds}."


def _plural(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _targets(rows: Sequence[Row], by_row: Mapping[str, Sequence[Result]]) -> str:
    lines = []
    for row in rows:
        results = by_row[row.name]
        for score in row.scores:
            if score.floor is None and score.aim is None:
                continue
            values = _values(results, score.name)
            median = statistics.median(values) if values else None
            lines.append(
                [
                    f"`{row.name}`",
                    KINDS[score.name].label,
                    _shown(score.name, median),
                    _range(score.name, values),
                    f"{len(values)} of {len(row.seeds)}",
                    _against(score, score.floor, median),
                    _against(score, score.aim, median),
                ]
            )
    return _table(["row", "score", "median", "range", "seeds", "floor", "aim"], lines)


def _against(score: Score, limit: float | None, median: float | None) -> str:
    """The limit, and whether the median is as good."""
    if limit is None:
        return NO_VALUE
    if median is None:
        return f"{limit:g}, not known"
    met = median <= limit if KINDS[score.name].lower_is_better else median >= limit
    return f"{limit:g}, {'met' if met else 'missed'}"


def _row(row: Row, results: Sequence[Result]) -> list[str]:
    """A row's heading, what it learns from, its figures seed by seed, and its commands."""
    spread = ["median", "range"] if len(results) > 1 else []
    head = ["", *(f"seed {result.seed}" for result in results), *spread]
    lines = []
    for name in (score.name for score in row.reported):
        each = [_shown(name, _number(result, name)) for result in results]
        over_seeds = [_median(results, name), _range(name, _values(results, name))] if spread else []
        lines.append([KINDS[name].label, *each, *over_seeds])
    facts: list[tuple[str, list[str]]] = [
        ("steps", [str(result.steps) for result in results]),
        ("fit, s", [_fit_seconds(row, result) for result in results]),
        ("mapping and scoring, s", [f"{result.seconds.extract + result.seconds.evaluate:.0f}" for result in results]),
        ("cores used, load", [f"{result.cores_used:.2f}, {result.machine.load:.1f}" for result in results]),
        ("code", [result.revision for result in results]),
    ]
    lines += [[name, *cells, *([NO_VALUE] * len(spread))] for name, cells in facts]
    first = results[0]
    commands = "\n".join(first.commands)
    others = f" For other seeds put theirs for {first.seed}." if len(results) > 1 else ""
    return [
        f"### {row.title}",
        f"`{row.name}`: {_learns(row, first)}{others}",
        f"```bash\n{commands}\n```",
        _table(head, lines),
    ]


def _fit_seconds(row: Row, result: Result) -> str:
    """Seconds, with a word where they are more than was given (by a fiftieth, for ends take a moment)."""
    over = row.minutes is not None and result.seconds.fit > 1.02 * 60 * row.minutes * result.budget_scale
    notes = [note for note, applies in (("resumed", result.resumed), ("over the time", over)) if applies]
    seconds = f"{result.seconds.fit:.0f}"
    return f"{seconds} ({', '.join(notes)})" if notes else seconds


def _learns(row: Row, result: Result) -> str:
    train, test = result.pictures["train"], result.pictures["test"]
    text = f"{row.length} on {train['with']} pictures WITH and {train['without']} WITHOUT"
    if result.groups is None:
        return f"{text}; scored on {test['with']} and {test['without']} others of the same kind."
    trained, scored = (result.groups[split] for split in ("train", "test"))
    names = f" ({', '.join(f'`{name}`' for name in scored)})" if len(scored) <= NAMED_GROUPS else ""
    if row.images == ("test/scenes",):
        what = f"{result.scores['pictures']} scenes, whole"
    else:
        what = f"{test['with']} pictures WITH and {test['without']} WITHOUT"
    return (
        f"{text} of {_plural(len(trained), 'group')} (`--group`); scored on "
        f"{_plural(len(scored), 'group')} set aside{names}: {what}."
    )


def _folders(rows: Sequence[Row], by_row: Mapping[str, Sequence[Result]]) -> list[str]:
    """One line a size of folder."""
    first = by_row[rows[0].name][0]
    return [
        "### Small folders",
        "Tumours again, with fewer pictures: patients are drawn by the seed until so many of each class are there; "
        f"{rows[0].length} each; scored on the patients of `lgg`.",
        _table(
            ["row", "pictures a class", *_labels(rows[0]), "steps", "seeds", "code"],
            [
                [
                    f"`{row.name}`",
                    str(by_row[row.name][0].pictures["train"]["with"]),
                    *(_median(by_row[row.name], score.name) for score in row.scores),
                    f"{statistics.median(result.steps for result in by_row[row.name]):.0f}",
                    *_origin(by_row[row.name]),
                ]
                for row in rows
            ],
        ),
        "```bash\n" + "\n".join(first.commands) + "\n```",
    ]


def _ablations(rows: Sequence[Row], by_row: Mapping[str, Sequence[Result]]) -> list[str]:
    """A table for each set of pictures, one line a change."""
    blocks = [
        "### One change at a time",
        f"What each choice is worth, {rows[0].length} each. Each line is one change from the defaults; the "
        "commands of others differ by its settings, given with `--set`. The patients and places that the rows above "
        "set aside neither train nor are scored here. Several seeds: median (range), how far trainings of one setting "
        "lie apart.",
    ]
    sets: dict[str, list[Row]] = {}
    for row in rows:
        sets.setdefault(row.pictures.name(0), []).append(row)
    for name, members in sets.items():
        first = next((row for row in members if row.change == DEFAULT), members[0])
        shared = first.assignments() if first.change == DEFAULT else ()
        blocks += [
            f"`{name}`: {_learns(first, by_row[first.name][0])}",
            _table(
                ["change", "settings", *_labels(first), "fit, s", "seeds", "code"],
                [
                    [
                        row.change,
                        ", ".join(f"`{item}`" for item in row.assignments() if item not in shared),
                        *(_median_and_range(by_row[row.name], score.name) for score in row.scores),
                        f"{statistics.median(result.seconds.fit for result in by_row[row.name]):.0f}",
                        *_origin(by_row[row.name]),
                    ]
                    for row in members
                ],
            ),
            "```bash\n" + "\n".join(by_row[first.name][0].commands) + "\n```",
        ]
    return blocks


def _number(result: Result, name: str) -> float | None:
    value = result.scores.get(name)
    return float(value) if isinstance(value, int | float) else None


def _values(results: Iterable[Result], name: str) -> list[float]:
    return [value for value in (_number(result, name) for result in results) if value is not None]


def _median(results: Sequence[Result], name: str) -> str:
    values = _values(results, name)
    return _shown(name, statistics.median(values) if values else None)


def _median_and_range(results: Sequence[Result], name: str) -> str:
    values = _values(results, name)
    return f"{_median(results, name)} ({_range(name, values)})" if len(values) > 1 else _median(results, name)


def _shown(name: str, value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.{KINDS[name].digits}f}"


def _range(name: str, values: Sequence[float]) -> str:
    return f"{_shown(name, min(values))} to {_shown(name, max(values))}" if len(values) > 1 else NO_VALUE


def _labels(row: Row) -> list[str]:
    return [KINDS[score.name].label for score in row.scores]


def _origin(results: Sequence[Result]) -> list[str]:
    """Seeds and code of one line of a table."""
    return [
        ", ".join(str(result.seed) for result in results),
        ", ".join(sorted({result.revision for result in results})),
    ]


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
