"""The layout tells the story: import directions, the package list, the public names, and what may not be committed."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import agentguard
from agentguard import errors

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "agentguard"

VOCABULARY = {"errors", "event", "conversation", "decision"}
BELOW_GUARD = {
    *VOCABULARY, "text", "store", "keys", "policy", "detect", "access", "flow", "audit", "channel", "wrapping",
}  # fmt: skip
# docs/architecture.md, "Who may import whom".
MAY_IMPORT: dict[str, set[str]] = {
    "errors": {"decision"},  # for the annotation of Denied.decision only
    "event": {"errors"},
    "conversation": {"errors", "event", "decision"},  # decision for the annotation of explain() only
    "decision": {"errors", "event", "conversation"},
    "text": {"errors"},
    "store": {"errors"},
    "keys": {"errors", "store"},
    "policy": VOCABULARY,
    "detect": {*VOCABULARY, "text", "keys"},
    "access": {*VOCABULARY, "store", "keys"},
    "flow": {*VOCABULARY, "text"},
    "audit": {*VOCABULARY, "keys", "store"},
    "channel": {*VOCABULARY, "store", "keys"},
    "monitor": {*VOCABULARY, "store"},
    "watching": {*BELOW_GUARD, "monitor", "assembly"},
    "wrapping": VOCABULARY,
    "scan": {*VOCABULARY, "text", "detect"},
    "http": {"errors", "audit"},
    "escalation": {*VOCABULARY, "access"},
    "guard": {*BELOW_GUARD, "assembly", "escalation", "monitor", "watching"},
    "accounts": {*VOCABULARY, "store", "keys", "access", "audit"},
    "assembly": {*BELOW_GUARD, "accounts"},
    "messaging": {*BELOW_GUARD, "guard"},
    "remote": {*BELOW_GUARD, "guard", "messaging"},
    "testing": {*BELOW_GUARD, "guard"},
    "adapter": {*VOCABULARY, "guard", "testing"},
    "dryrun": {*BELOW_GUARD, "guard", "assembly"},
    "cases": {*BELOW_GUARD, "guard", "dryrun"},
    "recorded": BELOW_GUARD,
    "replay": {*BELOW_GUARD, "guard", "dryrun", "recorded"},
    "explain": {*BELOW_GUARD, "guard", "dryrun"},
    "suggest": {*BELOW_GUARD, "recorded"},
    "posture": {*BELOW_GUARD, "guard", "assembly", "accounts", "dryrun"},
    "cli": {
        *BELOW_GUARD,
        "guard",
        "assembly",
        "accounts",
        "dryrun",
        "cases",
        "recorded",
        "replay",
        "suggest",
        "explain",
        "scan",
        "posture",
        "watching",
    },
    "__init__": {
        *(
            *BELOW_GUARD,
            "guard",
            "assembly",
            "accounts",
            "http",
            "messaging",
            "monitor",
            "posture",
            "remote",
            "watching",
        ),
    },
}


def _part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                continue  # inside its own package
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_table(path: Path) -> None:
    """Data flows one way: policy, detect, access, flow and audit never import each other; guard joins them."""
    part = _part(path)
    assert part in MAY_IMPORT, f"{part} is not in the table of docs/architecture.md"

    found = {
        name.split(".")[1]
        for name in _imported(ast.parse(path.read_text()))
        if name.startswith("agentguard.")
        and (PACKAGE / name.split(".")[1]).with_suffix("").exists() | (PACKAGE / f"{name.split('.')[1]}.py").exists()
    }

    assert found - {part} <= MAY_IMPORT[part]


@pytest.mark.parametrize("path", sorted((ROOT / "adapters").rglob("*.py")), ids=lambda path: path.name)
def test_adapters_use_public_names_only(path: Path) -> None:
    own = path.relative_to(ROOT / "adapters").parts[0]

    for name in _imported(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] == "agentguard" and parts[1:2] not in (["testing"], ["adapter"]):
            assert len(parts) == 1 or parts[1] in agentguard.__all__, f"{name} is not public"
        assert not parts[0].startswith("agentguard_") or parts[0] == own


def test_every_adapter_folder_is_in_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {f"adapters/{path.name}" for path in (ROOT / "adapters").iterdir() if (path / "__init__.py").exists()}

    packages = set(settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])

    assert packages == {"agentguard", "examples/agentguard_demo", *folders}


@pytest.mark.parametrize(
    "folder",
    [
        "agentguard",
        "examples/agentguard_demo",
        *sorted(f"adapters/{p.name}" for p in ROOT.glob("adapters/agentguard_*")),
    ],
)
def test_every_package_says_it_is_typed(folder: str) -> None:
    assert (ROOT / folder / "py.typed").exists()


def test_public_names_are_sorted_unique_and_load() -> None:
    assert len(set(agentguard.__all__)) == len(agentguard.__all__)
    for name in agentguard.__all__:
        assert getattr(agentguard, name) is not None
    with pytest.raises(AttributeError, match="no attribute"):
        _ = agentguard.NoSuchName


def test_what_type_checkers_see_is_what_loads() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    declared = {
        alias.name: node.module
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert declared == agentguard._HOME_OF
    assert sorted(declared) == sorted(agentguard.__all__)


def test_importing_the_package_loads_nothing_heavy() -> None:
    """Names are lazy (PEP 562): no framework, engine or crypto library is loaded by ``import agentguard``."""
    heavy = "{'re2', 'sqlalchemy', 'cryptography', 'pydantic', 'yaml', 'langchain', 'langchain_core', 'typer', 'rich'}"
    script = f"import agentguard, sys; print(sorted({heavy} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout.strip() == "[]"


def test_error_codes_are_unique_and_documented() -> None:
    classes = [getattr(errors, name) for name in errors.__all__ if name != "SecurityError"]
    codes = [cls.code for cls in classes]
    page = (ROOT / "docs" / "errors.md").read_text().split("## Errors")[1]
    documented = re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)

    assert len(set(codes)) == len(codes)
    assert sorted(documented) == sorted(codes)


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: nothing to look for")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_the_lock_holds_names_versions_and_hashes_only() -> None:
    lines = (ROOT / "requirements" / "dev.lock").read_text().splitlines()

    shapes = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+( ; [^/]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in lines if not shapes.fullmatch(line)] == []


def test_nothing_committed_names_a_machine_path_or_a_package_index() -> None:
    # Joined here, so that this file does not find itself.
    folders = ["/".join(["", name, ""]) for name in ("work", "root")]
    forbidden = re.compile("|".join([*folders, "pypi[.]org", "pythonhosted[.]org", "--index[-]url"]))

    found = []
    for path in _tracked():
        if path.suffix in {".png", ".npz", ".gz", ".bin"} or path.name in {"LICENSE"}:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if forbidden.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line[:80]}")

    assert found == []


def test_the_modules_of_the_package_all_load() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        assert importlib.import_module(dotted).__doc__, f"{dotted} has no docstring"
