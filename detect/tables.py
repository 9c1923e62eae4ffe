"""Scores as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from detect.calibration import CalibrationReport
    from detect.evaluation import Evaluation
    from detect.scores.risk import RiskCoverage

# Name, family, what it says in a few words.
SCORE_ROWS = (
    ("pixel_ap", "pixels", "average precision of the map"),
    ("pixel_auroc", "pixels", "area under the ROC curve of the map"),
    ("pixel_aupro", "pixels", "per-region overlap, up to 0.3 false positives"),
    ("dice", "pixels", "of the masks, all pictures pooled"),
    ("dice_per_picture", "pixels", "of the masks, mean over pictures"),
    ("dice_per_group", "pixels", "of the masks, mean over groups"),
    ("dice_oracle", "pixels", "best threshold in hindsight"),
    ("iou", "pixels", "of the masks, all pictures pooled"),
    ("ncc", "pixels", "map against effect, mean over pictures"),
    ("ap", "objects", "COCO, IoU 0.50 to 0.95"),
    ("ap50", "objects", "COCO, IoU 0.50"),
    ("ap25", "objects", "COCO, IoU 0.25"),
    ("mask_ap", "objects", "COCO, masks, IoU 0.50 to 0.95"),
    ("mask_ap50", "objects", "COCO, masks, IoU 0.50"),
    ("ap_dota", "objects", "DOTA, oriented boxes, VOC07"),
    ("ap_dota_area", "objects", "DOTA, oriented boxes, area under the curve"),
    ("ap_dota_horizontal", "objects", "DOTA, horizontal boxes, VOC07"),
    ("centre_f1", "objects", "centres inside truth boxes"),
    ("count_mae", "objects", "objects off per picture"),
    ("image_auroc", "pictures", "with against without"),
    ("flip_rate", "model", "counterfactuals that pass as the other class"),
    ("psnr", "model", "same-class reconstruction, dB"),
    ("residual", "model", "sum of branches against the picture"),
    ("locality", "model", "mean abs(map) outside the truth over inside"),
)


def score_table(scores: Evaluation) -> Table:
    """All scores that are defined, with what they say."""
    from rich.table import Table

    table = Table(title=_title(scores), title_justify="left")
    table.add_column("")
    table.add_column("score", style="bold")
    table.add_column("value", justify="right")
    table.add_column("95 %", justify="right", style="dim")
    table.add_column("what", style="dim")
    family = ""
    for name, kind, text in SCORE_ROWS:
        value = getattr(scores, name)
        if value is None:
            continue
        table.add_row(kind if kind != family else "", name, f"{value:.4f}", _interval(scores, name), text)
        family = kind
    if scores.risk_coverage is not None:
        _add_confidence(table, scores.risk_coverage)
    return table


def _add_confidence(table: Table, risk: RiskCoverage) -> None:
    """What the order of the pictures by their confidence is worth."""
    bounds = f"area under the risk; random order {risk.aurc_random:.4f}, best {risk.aurc_best:.4f}"
    table.add_row("confidence", "aurc", f"{risk.aurc:.4f}", "", bounds)
    for coverage, dice in risk.dice_at.items():
        table.add_row("", f"dice_at {coverage}", f"{dice:.4f}", "", f"the surest {100 * float(coverage):.0f} %")


def category_table(scores: Evaluation) -> Table | None:
    """A line for each category that has an object, and whether it counts in the means; None for fewer than two."""
    from rich.markup import escape
    from rich.table import Table

    lines = {name: item for name, item in scores.per_category.items() if item["objects_found"] or item["objects_true"]}
    if len(lines) < 2:
        return None
    table = Table(title="categories", title_justify="left")
    table.add_column("", overflow="fold")
    for name in ("found", "true", "ap50", "ap25", "centre_f1"):
        table.add_column(name, justify="right")
    table.add_column("", style="dim")
    for name, figures in lines.items():
        values = [figures[score] for score in ("ap50", "ap25", "centre_f1")]
        table.add_row(
            escape(name),
            str(figures["objects_found"]),
            str(figures["objects_true"]),
            *("-" if value is None else f"{value:.4f}" for value in values),
            "" if figures["looked_for"] else "not looked for",
        )
    return table


def left_out(scores: Evaluation) -> str:
    """One line that names the categories whose true objects do not count; empty where there are none."""
    counts = {name: item["objects_true"] for name, item in scores.per_category.items() if not item["looked_for"]}
    if not counts:
        return ""
    named = ", ".join(f"{name} ({count} object{'' if count == 1 else 's'})" for name, count in counts.items())
    return (
        f"not looked for, so not in the means: {named}; --all-categories counts them, --category NAME scores one alone"
    )


def calibration_table(report: CalibrationReport) -> Table:
    """The threshold, the false alarms to expect, and how steady both are."""
    from rich.table import Table

    settings = report.settings
    unit = "fraction of pixels" if settings.unit == "pixel" else "objects a picture"
    table = Table(title=f"{settings.pictures} pictures without, {report.groups} groups", title_justify="left")
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("what", style="dim")
    ends = report.threshold_interval
    table.add_row("threshold", f"{settings.threshold:.5g}", "map value from which on there is an object")
    table.add_row("", f"{ends[0]:.5g} to {ends[1]:.5g}" if ends else "-", "95 % bootstrap interval")
    table.add_row("expected", f"{report.expected:.3g}", f"false alarms asked for, {unit}")
    table.add_row("reached", f"{report.reached:.3g}", "on these pictures")
    table.add_row("measured", "-" if report.measured is None else f"{report.measured:.3g}", "on pictures held out")
    table.add_row("objects", f"{report.objects_per_picture:.3g}", "false objects a picture, after clean-up")
    return table


def _interval(scores: Evaluation, name: str) -> str:
    ends = scores.intervals.get(name)
    return f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else ""


def _title(scores: Evaluation) -> str:
    text = f"{scores.pictures} pictures, {scores.objects_found} objects found, {scores.objects_true} true"
    if scores.pictures_without_truth:
        text += f"; {scores.pictures_without_truth} pictures without truth left out"
    if scores.pixel_truth == "boxes":
        text += "; pixels scored against filled boxes"
    return text + ("; categories ignored" if scores.categories == "ignored" else "")
