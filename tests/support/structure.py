"""Facts about the project's own source: which file imports which, and which settings a stage reads."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("prepare", "base", "tokenize", "train", "evaluate", "export")


def make_targets() -> set[str]:
    """The names of the Makefile's targets."""
    rules = re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return {name for rule in rules for name in rule.split()}


def make_targets_named_in(text: str) -> set[str]:
    """The targets of the `make ...` commands that a text holds, in backticks or as lines of their own."""
    return set(re.findall(r"(?:`|^|- )make ([a-z-]+)", text, re.MULTILINE))


def module_file(name: str) -> Path | None:
    """The file of a module of ours, or None."""
    path = ROOT / Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def imported_names(path: Path) -> set[str]:
    """Every module a file imports, inside functions too; `from a.b import c` gives a.b and a.b.c."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def closure(path: Path) -> set[Path]:
    """The file and every file of ours it needs, directly or not."""
    files, waiting = set(), [path]
    while waiting:
        file = waiting.pop()
        if file in files:
            continue
        files.add(file)
        waiting += [ours for name in imported_names(file) if (ours := module_file(name)) and ours not in files]
    return files


def sources(path: Path) -> set[Path]:
    """The closure of a file and the templates that its files render."""
    files = closure(path)
    named = {
        name for file in files for name in re.findall(r'get_template\("(.+?)"\)', file.read_text(encoding="utf-8"))
    }
    return files | {path for name in named for path in (ROOT / "lockstep").rglob(name)}


def imports_at_load(path: Path) -> set[str]:
    """Modules imported when the file itself is imported (not those inside functions or for types)."""
    names: set[str] = set()
    waiting = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_for_types(node):
            waiting += list(ast.iter_child_nodes(node))
    return names


def is_for_types(node: ast.AST) -> bool:
    """Whether this is an `if TYPE_CHECKING:`, which no program enters."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def source_files(folder: str) -> list[Path]:
    """Every Python file of a folder of the project, and below it."""
    return sorted((ROOT / folder).rglob("*.py"))


def package_of(name: str) -> str:
    """The package of the library that a module's full name lies in: 'core' of lockstep.core.errors; '' elsewhere."""
    parts = name.split(".")
    return parts[1] if parts[0] == "lockstep" and len(parts) > 2 else ""


def params_read(stage: str) -> set[str]:
    """Keys of params.yaml a stage's file touches as `params.section` or `params.section.key`, the widest ones only."""
    tree = ast.parse((ROOT / "stages" / f"{stage}.py").read_text(encoding="utf-8"))
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    chains: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or id(node) in inner:
            continue  # part of a longer chain
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id == "params":
            chains.add(".".join(parts))
    return {chain for chain in chains if not any(chain.startswith(f"{other}.") for other in chains)}
