"""The page: a template, a style sheet, a script and the data, as one HTML file that asks for nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from string import Template
from typing import Any


def assemble(data: dict[str, Any], title: str) -> str:
    """The HTML of a report.

    The script builds the page from the data and sets text as text alone, so names of pictures cannot become markup. A
    content security policy allows this very script and style sheet, pictures that the page itself holds, and no
    connection to anywhere.

    Parameters
    ----------
    data
        What the script reads; of JSON's kinds, numbers finite.
    title
        Plain text.
    """
    style, script = _part("page.css"), _part("page.js")
    return Template(_part("page.html")).substitute(
        title=html.escape(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        data=as_json(data),
    )


def as_json(data: Any) -> str:
    r"""JSON that may stand in a ``<script>`` element, which ends at the first ``</script`` whatever it is part of.

    Examples
    --------
    >>> as_json(["</script>"])
    '["\\u003c/script>"]'
    """
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _part(name: str) -> str:
    return files("detect.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
