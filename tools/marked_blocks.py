"""Parts of pages that tools write: a table or a number between ``<!-- KIND: NAME -->`` and ``<!-- /KIND -->``."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

PAGES = ('README.md', 'docs/*.md', 'configs/**/README.md', 'projects/**/README.md', 'mmdiffperc/assets/demo/README.md')


def pages() -> list[Path]:
    """Return the pages that may contain blocks."""
    return sorted(page for pattern in PAGES for page in Path().glob(pattern))


def pattern(kind: str) -> re.Pattern:
    """Return the pattern of the blocks of a kind."""
    return re.compile(rf'(<!-- {kind}: ([\w-]+) -->)(.*?)(<!-- /{kind} -->)', re.DOTALL)


def blocks(kind: str, text: str) -> list[tuple[str, str]]:
    """Return the name and the content of each block of a kind in a page."""
    return [(name, content) for _, name, content, _ in pattern(kind).findall(text)]


def with_blocks(kind: str, text: str, render: Callable[[str, str], str]) -> str:
    """Return the text of a page with new contents of its blocks, which ``render(name, content)`` returns."""
    return pattern(kind).sub(lambda block: f'{block[1]}{render(block[2], block[3])}{block[4]}', text)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, between line breaks."""
    heading, *lines = (f'| {" | ".join(cells)} |\n' for cells in (headings, *rows))
    return f'\n{heading}|{"---|" * len(headings)}\n{"".join(lines)}'
