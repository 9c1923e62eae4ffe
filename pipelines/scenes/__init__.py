"""Scenes of any size: windows on a lattice fixed on the ground, tiles of bounded memory, objects joined across them.

Coordinates: rows and columns of the scene's pixels; outlines run along pixel edges (see `detect.masks`). Shape letters:
B windows, H height, W width, C bands of the scene, K channels that are blended, N objects.
"""
