"""Scores: what is true against what was found. One module a family; everything takes arrays or `Detections`."""
