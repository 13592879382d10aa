"""docs/architecture.md says what the code and dvc.yaml say: which paths exist, who imports whom, which stage uses what."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from structure import ROOT, STAGES, closure, package_of

PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
USERS = (*STAGES, "chat", "serve")
PACKAGE_ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
PACKAGES = {name: (used_by, imports) for name, used_by, imports in PACKAGE_ROW.findall(PAGE)}


def allowed_imports() -> dict[str, tuple[str, ...]]:
    """ALLOWED of test_structure.py, which the code is held against."""
    tree = ast.parse((ROOT / "tests/project/test_structure.py").read_text(encoding="utf-8"))
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    table: dict[str, tuple[str, ...]] = ast.literal_eval(assigned["ALLOWED"])
    return table


def users_of(package: str) -> set[str]:
    """The stages that depend on a package or a file of it, and of chat and serve those that import it."""
    folder = f"lockstep/{package}"
    stages = {name for name in STAGES if any(f"{dep}/".startswith(f"{folder}/") for dep in PIPELINE[name]["deps"])}
    return stages | {name for name in ("chat", "serve") if package in packages_of(ROOT / "stages" / f"{name}.py")}


def out_of(entry: str | dict[str, Any]) -> tuple[str, Any]:
    """The path of an output, and its options in dvc.yaml."""
    return (entry, None) if isinstance(entry, str) else next(iter(entry.items()))


def packages_of(path: Path) -> set[str]:
    return {package_of(".".join(file.relative_to(ROOT).with_suffix("").parts)) for file in closure(path)}


def test_packages_stand_in_the_order_of_their_imports_each_with_those_it_may_import() -> None:
    allowed = {name: ", ".join(imports) or "nothing" for name, imports in allowed_imports().items()}
    assert [(name, imports) for name, (_, imports) in PACKAGES.items()] == [*allowed.items(), ("cli", "all")]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_used_by_those_that_the_page_names(package: str) -> None:
    used_by = PACKAGES[package][0]
    assert users_of(package) == (set(USERS) if used_by == "all" else set(used_by.split(", ")) & set(USERS))


def test_the_data_takes_the_way_that_the_pipeline_takes() -> None:
    diagram = PAGE.split("```")[1]
    assert re.findall(r"│  (\w+)", diagram) == list(PIPELINE)
    kept = [out for stage in PIPELINE.values() for out in stage["outs"] if out_of(out)[1] != {"cache": False}]
    outs = [out_of(out)[0].removesuffix("/${model.base}") for out in kept]
    assert [path for path in re.findall(r"^\w+/\w+", diagram, re.MULTILINE) if path != "data/raw"] == outs


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_path_named_exists_or_is_written_by_a_stage(page: str) -> None:
    """NAME and PACKAGE in a path stand for any: then the folder before them exists."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`([\w.][\w./-]*/[\w./-]*|[\w-]+\.(?:yaml|lock|toml|txt|md))`", text)
    written = [entry for stage in PIPELINE.values() for entry in (*stage["outs"], *stage.get("metrics", []))]
    outputs = {out_of(entry)[0] for entry in written}
    assert named
    for path in {re.split(r"(?:test_)?(?:NAME|PACKAGE)", path)[0] for path in named}:
        assert (ROOT / path).exists() or any(f"{out}/".startswith(path) for out in outputs), path
