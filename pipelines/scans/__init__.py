"""Scans of volumes: files on one grid, brought to one orientation and cut into slices.

Shape letters: X Y Z a file's own axes; Z slices from the lowest up, H height (anterior first), W width (the patient's
right first).
"""
