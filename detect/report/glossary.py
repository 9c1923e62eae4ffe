"""What every number on the page means, in plain words."""

from __future__ import annotations

from types import MappingProxyType

PAGE = MappingProxyType(
    {
        "map": "A number for each pixel: how much there is of what only pictures WITH have. 0 is nothing.",
        "threshold": "The map value from which on a pixel belongs to an object. It was set without any label.",
        "score of an object": (
            "How strong an object is, from 0 to 1. 0.5 has a typical object whose map just reaches the threshold "
            "everywhere."
        ),
        "score of a picture": (
            "m / (m + t), where m is the greatest value of its map and t the run's own threshold: 0.5 where the map "
            "just reaches the threshold, near 1 where it is far above."
        ),
        "confidence": (
            "How sure the masks of a picture are, from 0 to 1. It is high where the map is far above the threshold "
            "inside the masks and far below it everywhere else."
        ),
        "doubtful": "The quarter of the pictures that have the least confidence. Look at these first.",
        "false alarm": "What is found where there is nothing, measured on pictures WITHOUT.",
        "95 % interval": (
            "Where the score would lie with other pictures of the same kind, in 95 of 100 draws (bootstrap over groups "
            "such as patients where they are known, else over pictures)."
        ),
        "Dice at the slider": (
            "Dice of all pictures at the threshold that the slider shows. The best place was found by looking at the "
            "truth, so it is no result."
        ),
    }
)
"""Words of the page itself."""

VALIDATION = MappingProxyType(
    {
        "psnr": "How well pictures are rebuilt as what they are, in dB; 30 and more is good.",
        "residual": "What is left of a picture when all its parts are taken away: mean absolute difference, 0 is best.",
        "flip_rate": (
            "Fraction of rebuilt pictures that a separate classifier takes for the class they were turned into."
        ),
        "auroc": "How well the maps tell the two folders apart: 0.5 is chance, 1 is always right.",
        "background": "Mean map of pictures WITHOUT over that of pictures WITH; 0 is best, near 1 is bad.",
        "taken": "Fraction of the pixels of pictures WITH that reach the threshold.",
    }
)
"""Scores of validation pictures, which need no truth."""

TRUTH = MappingProxyType(
    {
        "pixel_ap": (
            "Average precision of the map, pixel by pixel, over all thresholds: 1 is perfect, chance is the fraction "
            "of true pixels."
        ),
        "pixel_auroc": (
            "Chance that a true pixel has a higher map value than another: 0.5 is chance, 1 is perfect. It flatters "
            "where objects are small."
        ),
        "pixel_aupro": "As pixel_auroc up to 0.3 false positives, but every true object counts the same.",
        "dice": (
            "Overlap of masks and truth: twice what is common over the sum of both, all pictures together; 1 is "
            "perfect."
        ),
        "dice_per_picture": "Dice of each picture, then the mean.",
        "dice_per_group": "Dice of each group, such as a patient, then the mean.",
        "dice_oracle": "Dice at the threshold that is best in hindsight: a bound, not a result.",
        "iou": "What is common to masks and truth over what is in either, all pictures together.",
        "ncc": "Correlation of map and true effect, mean over pictures that have one.",
        "ap": "COCO's average precision of boxes, mean over overlaps (IoU) from 0.50 to 0.95.",
        "ap50": "Average precision where a box counts as found from an overlap (IoU) of 0.50 on.",
        "ap25": "The same from an overlap of 0.25 on.",
        "mask_ap": "As ap, with masks in place of boxes.",
        "mask_ap50": "As ap50, with masks in place of boxes.",
        "ap_dota": "DOTA's average precision of oriented boxes, 11 points (VOC 2007).",
        "ap_dota_area": "The same, by the area under the curve.",
        "ap_dota_horizontal": "As ap_dota, with boxes that are not turned.",
        "centre_f1": "A true box counts as found when the centre of a box found lies in it; 1 is perfect.",
        "count_mae": "How many objects a picture is off by, mean over pictures.",
        "image_auroc": "How well pictures with truth are told from those without: 0.5 is chance, 1 is perfect.",
        "flip_rate": VALIDATION["flip_rate"],
        "psnr": VALIDATION["psnr"],
        "residual": VALIDATION["residual"],
        "locality": "Mean map outside the truth over the mean inside; 0 is best.",
    }
)
"""Scores against the truth."""

CONFIDENCE = MappingProxyType(
    {
        "aurc": (
            "Mean of 1 - Dice over the surest pictures, from the very surest to all of them: 0 is best. It is low "
            "where confidence tells good masks from bad ones."
        ),
        "dice_at": "Mean Dice of the surest pictures alone; the number is the fraction of them that is kept.",
    }
)
"""What the order of the pictures by their confidence is worth."""
