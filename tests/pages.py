"""Reading the pages that we write: nested well, loading nothing, whatever the texts in them are."""

import base64
import hashlib
import re
from html.parser import HTMLParser

HOSTILE = """</title></h1>"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;$title\x00\udcff\u202e"""
"""A text that would do something if it were read as anything else."""
VOID = {"meta", "img", "rect", "line", "polygon", "polyline", "path", "hr", "br"}


class Page(HTMLParser):
    """Elements, their attributes and the text of a page; fails on what is not nested."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["script"], ["style"]):
            self.text += data

    def all(self, tag, **wanted):
        return [found for name, found in self.elements if name == tag and wanted.items() <= found.items()]


def check_self_contained(text, *, links):
    """Nothing is loaded from elsewhere, and the page's own policy allows its style and scripts and no others.

    Args:
        text: The page.
        links: How its links to itself begin.
    """
    assert re.findall(rf"(?:src|href|action|data|poster)=\"(?!data:image/jpeg;base64,|{links})[^\"]*", text) == []
    assert "http" not in text.replace('http-equiv="Content', "")
    assert re.search(r"@import|url\(", text) is None
    assert re.search(r"<[^>]*\s(?:style|on\w+)=", text) is None  # the policy would drop them
    [policy] = [found["content"] for found in Page(text).all("meta") if "http-equiv" in found]
    assert ".cards {" in text, "the common style"
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for kind in ("style", "script"):
        contents = re.findall(f"<{kind}>(.*?)</{kind}>", text, flags=re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents]
        assert re.findall(f"{kind}-src 'sha256-([^']*)'", policy) == digests
