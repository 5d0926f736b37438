"""The pages of documentation: their snippets, which are run, their commands, their links and what they quote."""

import ast
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / 'README.md',
    *sorted((ROOT / 'configs').rglob('README.md')),
    ROOT / 'mmdiffperc' / 'assets' / 'demo' / 'README.md',
    ROOT / 'projects' / 'dmp' / 'README.md',
    *sorted((ROOT / 'docs').glob('*.md')),
]
PRODUCED = ('data', 'work_dirs', 'build', 'dist', '_build')
SNIPPET = r'(?:<!-- ((?:config|prompts|run): .*?) -->\n)?```python\n(.*?)```'
QUOTE = r'<!-- raised by: (\S+) -->\n```text\n(.*?)\n```'
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
PLACEHOLDER = '\0'


def snippets() -> dict[str | None, str]:
    """All Python blocks of all pages, by the comment ``<!-- name -->`` above them."""
    found = [match for page in PAGES for match in re.findall(SNIPPET, page.read_text(), re.DOTALL)]
    names = Counter(name for name, _ in found)
    assert set(names.values()) == {1} and '' not in names, f'a snippet without a name, or two of one name: {names}'
    return dict(found)


def snippet(name: str) -> str:
    """The code block that stands below the comment ``<!-- name -->``."""
    return snippets()[name]


def run_snippet(name: str, **replaced: object) -> dict:
    """Run a snippet, in which some words or strings are replaced first; return its variables."""
    code, scope = snippet(name), {}
    for old, new in replaced.items():
        assert old in code
        code = code.replace(old, str(new))
    exec(code, scope)
    return scope


def write_config(name: str, folder: Path) -> Path:
    """Write a config snippet to a file; bases in ``configs/`` are those of the repository."""
    file = folder / 'my_config.py'
    file.write_text(snippet(name).replace("_base_ = 'configs/", f"_base_ = '{ROOT}/configs/"))
    return file


def commands() -> list[str]:
    """All lines of all shell blocks, without comments."""
    blocks = [block for page in PAGES for block in re.findall(r'```bash\n(.*?)```', page.read_text(), re.DOTALL)]
    return [line.split('  #')[0] for block in blocks for line in block.splitlines() if line]


def markdown_files() -> list[Path]:
    """All Markdown files of the repository, and none that a run or a build has made."""
    tops = [path for path in ROOT.iterdir() if not path.name.startswith('.') and path.name not in PRODUCED]
    files = [file for top in tops for file in ([top] if top.is_file() else top.rglob('*.md'))]
    return sorted(file for file in files if file.suffix == '.md' and not set(PRODUCED) & set(file.parts))


def links(page: Path) -> list[str]:
    """Targets of all links and images of a page."""
    inline = [child for token in _parse(page) for child in token.children or ()]
    targets = [
        token.attrGet('href') or token.attrGet('src') for token in inline if token.type in ('link_open', 'image')
    ]
    return [target for target in targets if not re.match(r'\w+:', target)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    tokens = _parse(page)
    titles = [content for opened, content in zip(tokens, tokens[1:], strict=False) if opened.type == 'heading_open']
    texts = [''.join(child.content for child in title.children) for title in titles]
    return {re.sub(r'[^\w\- ]', '', text.lower()).replace(' ', '-') for text in texts}


def quotes(page: Path) -> list[tuple[str, str]]:
    """Messages that a page quotes, after the module that raises them, with ``...`` for what varies."""
    return re.findall(QUOTE, page.read_text(), re.DOTALL)


def says(module: str, message: str) -> bool:
    """Whether some string of a module, docstrings aside, begins with a message."""
    tree = ast.parse(Path(import_module(module).__file__).read_text())
    docstrings = {id(node.body[0].value) for node in ast.walk(tree) if _has_docstring(node)}
    strings = [_template(node) for node in ast.walk(tree) if id(node) not in docstrings]
    varying = f'{PLACEHOLDER}(?: {PLACEHOLDER})*'  # one value, or several between spaces
    beginning = varying.join(map(re.escape, message.removesuffix('...').split('...')))
    return any(re.match(beginning, string) for string in strings)


def _has_docstring(node) -> bool:
    return isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None


def _template(node) -> str:
    """A string, or an f-string with placeholders; empty for everything else."""
    if isinstance(node, ast.JoinedStr):
        return ''.join(part.value if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ''


def _parse(page: Path) -> list:
    return MarkdownIt('commonmark').enable('table').parse(page.read_text())
