"""Scores as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from detect.evaluation import Evaluation

# Name, family, what it says in a few words.
_ROWS = (
    ("pixel_ap", "pixels", "average precision of the map"),
    ("pixel_auroc", "pixels", "area under the ROC curve of the map"),
    ("dice", "pixels", "of the masks, all pictures pooled"),
    ("dice_per_group", "pixels", "of the masks, mean over groups"),
    ("dice_oracle", "pixels", "best threshold in hindsight"),
    ("iou", "pixels", "of the masks, all pictures pooled"),
    ("ncc", "pixels", "map against effect, mean over pictures"),
    ("ap", "objects", "COCO, IoU 0.50 to 0.95"),
    ("ap50", "objects", "COCO, IoU 0.50"),
    ("ap25", "objects", "COCO, IoU 0.25"),
    ("ap_dota", "objects", "oriented boxes, VOC07"),
    ("centre_f1", "objects", "centres inside truth boxes"),
    ("count_mae", "objects", "objects off per picture"),
    ("image_auroc", "pictures", "with against without"),
    ("flip_rate", "model", "repainted pictures that pass as the other class"),
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
    table.add_column("what", style="dim")
    family = ""
    for name, kind, text in _ROWS:
        value = getattr(scores, name)
        if value is None:
            continue
        table.add_row(kind if kind != family else "", name, f"{value:.4f}", text)
        family = kind
    return table


def _title(scores: Evaluation) -> str:
    text = f"{scores.pictures} pictures, {scores.objects_found} objects found, {scores.objects_true} true"
    if scores.pictures_without_truth:
        text += f"; {scores.pictures_without_truth} pictures without truth left out"
    if scores.pixel_truth == "boxes":
        text += "; pixels scored against filled boxes"
    return text + ("; categories ignored" if scores.categories == "ignored" else "")
