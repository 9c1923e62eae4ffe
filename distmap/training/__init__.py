"""From two folders to a run: the loop, the clock, and what a run's folder holds."""
