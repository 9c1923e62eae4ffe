"""The table of quality figures, row by row: prepare the pictures, fit, extract, score, write the page.

``python -m pipelines.quality`` runs the rows of `pipelines.quality.rows` on the pictures in ``$DISTMAP_DATA``; each
finished row and seed is one JSON file in the work folder, and the page is made of those files.
"""
