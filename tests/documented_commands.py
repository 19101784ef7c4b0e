"""The bash blocks of the README and of the pages in docs/, with the comment above each, which says where it runs."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
NEEDS_AWS = "needs AWS"
RUN_BY = "run by: "
PAGES = ["README.md", *(f"docs/{page}.md" for page in ("api", "batch-files", "payctl", "deploy", "runbooks", "tasks"))]
"""All pages with commands, in the order in which a reader follows them."""
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]+) -->\n)?^```bash\n(?P<script>.*?)^```\n(?:\n```json\n(?P<answer>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A bash block: the comment above it, its commands, and the JSON that the page shows below."""

    mark: str
    script: str
    answer: str


def blocks_of(text: str) -> list[Block]:
    """The bash blocks of a page or of a part of it."""
    return [Block(*(block[name] or "" for name in Block._fields)) for block in _BLOCK.finditer(text)]


BLOCKS = [block for page in PAGES for block in blocks_of((ROOT / page).read_text())]
HERE = [block for block in BLOCKS if not block.mark]
"""The blocks that run on the local stack: those without a comment that says otherwise."""
