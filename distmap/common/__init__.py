"""The ground floor that `distmap`, `detect` and `pipelines` share; it needs neither torch nor any of the three."""
