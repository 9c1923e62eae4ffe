"""What is chosen without labels of pixels: weights, kind of map, threshold; and what speaks against the maps."""
