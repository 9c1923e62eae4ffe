"""One HTML file that asks for nothing, and that no name can break."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

from detect.report.page import as_json, assemble

EVIL = "</script><script>alert(1)</script><!-- $title ${x} \u2028 ä"


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, str] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open = f"{tag} {dict(attrs).get('id', '')}".strip()

    def handle_data(self, data: str) -> None:
        self.inside[self._open] = self.inside.get(self._open, "") + data


def test_names_stay_text() -> None:
    page = Elements(assemble({"name": EVIL}, EVIL))
    assert [tag for tag, _ in page.found].count("script") == 2
    assert json.loads(page.inside["script data"]) == {"name": EVIL}
    assert "<script>" in page.inside["title"]  # unescaped by the parser: it is text
    assert json.loads(as_json(EVIL)) == EVIL


def test_the_page_asks_for_nothing() -> None:
    text = assemble({}, "t")
    page = Elements(text)
    for tag, attributes in page.found:
        assert tag not in ("link", "img", "iframe", "object", "base")
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")  # type: ignore[union-attr]
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    addresses = re.findall(r"https?://[^\s\"'<]+", text)
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}
    assert "url(" not in text
    assert "@import" not in text


def test_the_policy_allows_this_script_and_style_alone() -> None:
    text = assemble({}, "t")
    policy = next(a["content"] for tag, a in Elements(text).found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        content = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(content) == 1
        code = base64.b64encode(hashlib.sha256(content[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{code}'" in policy
