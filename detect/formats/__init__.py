"""Annotation files. Every module has the verbs `read` and `write` for one format."""
