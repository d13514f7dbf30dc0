"""The commands that README, CONTRIBUTING and docs/ show: in fences marked `bash`, and in the text between backquotes. Pure but for `pages`.

A command is one line as a reader would type it, without its comment; lines that end in a backslash or a pipe are joined. Placeholders that
mean the pipeline of every page are replaced by its name, so that `kubectl rag abort NAME` and `kubectl rag abort handbook` are the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ("curl", "docker", "eval", "git", "helm", "kubectl", "make", "pip", "python", "python3")
NOT_RUN = "not run by a test"
PLACEHOLDERS = {r"\bNAME\b": "handbook", "<pipeline>": "handbook", r"\bFILE\b": "pipeline.yaml"}
_SPAN = re.compile(r"`([^`\n]+)`")
_COMMENT = re.compile(r"\s+#\s.*$")
_SETTING = re.compile(r"(?:[A-Z_]+=\S*\s+)*")


@dataclass(frozen=True)
class Command:
    """One command and where it stands. `block` is false for one that a sentence mentions."""

    text: str
    page: str
    line: int
    around: str  # its block with the paragraphs next to it, or its own paragraph
    block: bool
    comment: str = ""

    @property
    def said_not_run(self) -> bool:
        """Whether the page says, where it shows the command, that no test runs it."""
        return NOT_RUN in " ".join(self.around.split())

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


@dataclass(frozen=True)
class Paragraph:
    """Lines between two empty lines, or a whole fence with its language."""

    lines: tuple[str, ...]
    number: int  # of the first line, from 1
    language: str | None = None  # `None`: not a fence

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def pages() -> dict[str, str]:
    """Every page that shows commands, by its path."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
    return {str(file.relative_to(ROOT)): file.read_text() for file in files}


def commands(page: str, text: str) -> Iterator[Command]:
    """Every command of one page, in order."""
    parts = list(paragraphs(text))
    for number, part in enumerate(parts):
        if part.language is None:
            yield from _mentioned(page, part)
        elif part.language in ("bash", "sh"):
            around = "\n\n".join(one.text for one in parts[max(number - 1, 0) : number + 2])
            yield from _typed(page, part, around)


def unmarked(text: str) -> list[str]:
    """Lines of fences without a language that begin as commands do: a fence of commands is marked `bash`."""
    fences = (part for part in paragraphs(text) if part.language == "")
    return [line for part in fences for line in part.lines if line.split(" ")[0] in PROGRAMS]


def paragraphs(text: str) -> Iterator[Paragraph]:
    """The page cut at empty lines and at fences."""
    held: list[str] = []
    language: str | None = None
    begun = 1
    for number, line in enumerate([*text.splitlines(), ""], 1):
        fence = line.lstrip().startswith("```")
        if not fence and (line.strip() or language is not None):
            held.append(line)
            continue
        if held:
            yield Paragraph(tuple(held), begun, language)
        held, begun = [], number + 1
        if fence:
            language = line.lstrip().removeprefix("```").strip() if language is None else None


def _typed(page: str, part: Paragraph, around: str) -> Iterator[Command]:
    whole, first = "", part.number
    for number, line in enumerate(part.lines, part.number):
        first = first if whole else number
        if line.endswith(("\\", "|")):
            whole += line.removesuffix("\\")
            continue
        comment = _COMMENT.search(whole + line)
        if text := canonical(_COMMENT.sub("", whole + line)):
            yield Command(text, page, first, around, True, comment.group().strip(" #") if comment else "")
        whole = ""


def _mentioned(page: str, part: Paragraph) -> Iterator[Command]:
    for number, line in enumerate(part.lines, part.number):
        around = line if line.startswith("|") else part.text  # a row of a table speaks for itself
        for span in _SPAN.findall(line):
            name, _, rest = _SETTING.sub("", span).partition(" ")
            if rest and (name in PROGRAMS or name.endswith("/python")):
                yield Command(canonical(span), page, number, around, False)


def canonical(text: str) -> str:
    """The command with single spaces and the placeholders' meaning."""
    for placeholder, meaning in PLACEHOLDERS.items():
        text = re.sub(placeholder, meaning, text)
    return " ".join(text.split())
