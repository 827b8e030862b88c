"""The documents tell what the code does, and lead where they say."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dms_tags.api.problem_types import PROBLEMS
from dms_tags.app import create_app
from dms_tags.cli import main
from dms_tags.settings import CLIENT_VARIABLES, Settings, settings_table
from dms_tags.store.database import Database

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "dms_tags" / "docs"
CONTRACT = (DOCS / "API.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob(".github/**/*.md")], key=lambda path: path.relative_to(ROOT).as_posix()
)
CODE = sorted(path for folder in ("dms_tags", "tests") for kind in ("*.py", "*.lark") for path in (ROOT / folder).rglob(kind))

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(document: Path) -> set[str]:
    """What a link may name in a document: its headings, as they are spelt in addresses."""
    headings = re.findall(r"^#+ (.+)$", text_of(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def code_spans(document: Path) -> Iterator[str]:
    """What a document shows as code: blocks, line by line, and what stands in backticks in its sentences."""
    fenced = False
    for line in text_of(document).splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line
        else:
            yield from re.findall(r"`([^`]+)`", line)


def comments(path: Path) -> str:
    """A module's text with all white space, and the `#` and `//` of comments over several lines, as one blank."""
    return re.sub(r"\s+(?:(?:#|//) )?", " ", text_of(path))


def sections_named(text: str) -> Iterator[str]:
    """The sections of API.md that a comment names: "section 1", "sections 1 and 2", "sections 1 to 3"."""
    for first, word, second in re.findall(r"API\.md sections? (\d+)(?: (and|to) (\d+))?", text):
        if word == "to":
            yield from map(str, range(int(first), int(second) + 1))
        else:
            yield from filter(None, (first, second))


def test_readme_is_short() -> None:
    """The README has at most 180 lines."""
    assert len(text_of(ROOT / "README.md").splitlines()) <= 180


def test_settings() -> None:
    """The table for operators has every setting, with its default and meaning, and no other."""
    rows = re.findall(r"^\| `(DMS_TAGS_\w+)` \| `?(.*?)`? \| (.*) \|$", text_of(DOCS / "OPERATING.md"), re.MULTILINE)

    assert settings_table() == rows


@each_document
def test_variables(document: Path) -> None:
    """Every variable that a document names is one that is read."""
    settings = {variable for variable, _, _ in settings_table()}
    known = settings | CLIENT_VARIABLES | {f"{variable}_FILE" for variable in settings}

    assert set() == set(re.findall(r"\bDMS_TAGS_[A-Z_]*[A-Z]\b(?![*_])", text_of(document))) - known


@each_document
def test_links(document: Path) -> None:
    """Every link of a document leads somewhere: to a file that is there, and a heading that is in it."""
    prose = re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text_of(document), flags=re.MULTILINE | re.DOTALL))
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = (document.parent / path) if path else document
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@each_document
def test_scripts(document: Path) -> None:
    """Every script that a document names is there."""
    for name in re.findall(r"(?<![\w/.])scripts/([\w-]+)", text_of(document)):
        assert (ROOT / "scripts" / name).exists(), name


@each_document
def test_commands(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every `dms-tags …` that a document shows is a command that explains itself."""
    shown = {
        tuple(filter(None, words))
        for span in code_spans(document)
        for words in re.findall(r"(?:^|[ ($&|/])dms-tags ([a-z]+)(?: ([a-z]+))?(?![\w.])", span)
    }
    for words in sorted(shown):
        try:
            status: object = main.main([*words, "--help"])
        except SystemExit as ended:
            status = ended.code
        assert status in (0, None), f"{words}: {capsys.readouterr().err}"


@each_document
def test_python(document: Path) -> None:
    """Every Python example can be parsed, and imports what there is."""
    for example in re.findall(r"^```python\n(.*?)^```", text_of(document), re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                assert [] == [name.name for name in node.names if not hasattr(module, name.name)]


def test_routes() -> None:
    """The contract names the path of every call that the service has."""
    settings = Settings(mongo_uri="mongomock://", auth="none")
    app = create_app(settings, database=Database.connect(settings))
    paths = (app.test_client().get("/openapi.json").json or {})["paths"]

    assert [] == [path for path in paths if not re.search(rf"(?<![\w}}]){re.escape(path)}(?![\w/{{])", CONTRACT)]


def test_problems() -> None:
    """The contract's table of errors gives each type its own status."""
    rows = re.findall(r"^\| ([\d, ]+) \| (`.*?) \|", CONTRACT[: CONTRACT.index("## 2. ")], re.MULTILINE)
    told = {slug: statuses for statuses, slugs in rows for slug in re.findall(r"`([a-z-]+)`", slugs)}

    assert "trace-mismatch" in told
    assert {} == {slug: statuses for slug, statuses in told.items() if str(PROBLEMS[slug].status) not in statuses.split(", ")}


def test_sections_that_comments_cite() -> None:
    """Every section of the contract that a comment cites is there."""
    headings = set(re.findall(r"^## (\d+)\. ", CONTRACT, re.MULTILINE))
    cited = {section: path for path in CODE for section in sections_named(comments(path))}

    assert {"1", "2", "3", "4", "5", "6", "7"} <= headings
    assert {} == {section: path for section, path in cited.items() if section not in headings}


def test_design_that_comments_cite() -> None:
    """Every heading and every invariant of the design that a comment cites is there."""
    design = text_of(DOCS / "DESIGN.md")
    headings = set(re.findall(r"^## (.+)$", design, re.MULTILINE))
    invariants = set(re.findall(r"^(\d+)\. ", design[design.index("## Invariants") :], re.MULTILINE))
    for path in CODE:
        text = comments(path)
        for heading in re.findall(r'DESIGN\.md,? "([^"]+)"', text):
            assert heading in headings, f"{path}: {heading}"
        for first, last in re.findall(r"DESIGN\.md, invariants? (\d+)(?:-(\d+))?", text):
            assert {first, last or first} <= invariants, f"{path}: {first}-{last}"


def test_documents_that_comments_cite() -> None:
    """Every document that a comment cites is in the repository."""
    there = {path.name for path in DOCUMENTS}
    cited = {name: path for path in CODE for name in re.findall(r"\b([A-Z][A-Z-]+\.md)\b", text_of(path))}

    assert {} == {name: path for name, path in cited.items() if name not in there}
