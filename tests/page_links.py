"""What an HTML page names, and what its content security policy allows."""

from html.parser import HTMLParser

import httpx


class Links(HTMLParser):
    """What a page loads or leads to, and which scripts and styles stand in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [value for name in ("src", "href") if (value := given.get(name)) is not None]
        handlers = [name for name in given if name.startswith(("on", "style"))]
        if handlers or tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(given.get("type") or tag)


def directives(response: httpx.Response) -> dict[str, list[str]]:
    """The sources that a page may load from, by directive."""
    parts = (part.split() for part in response.headers["content-security-policy"].split(";"))
    return {name: sources for name, *sources in parts}
