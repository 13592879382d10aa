"""README's commands work, its tree is true, and its examples are the program's own words."""

import ast
import importlib.util
import re
import subprocess
import sys
from functools import cache

import pytest
import yaml
from structure import ROOT, make_targets, make_targets_named_in

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TREE = README.split("## How it is laid out\n\n```\n")[1].split("```")[0].splitlines()
TREE_LINE = re.compile(r"(\S+) {2,}(\S.*)")  # a path and what it is
# Names at the top that need no word in the tree.
KNOWN_ANYWHERE = {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "pyproject.toml", "dvc.lock"}
COMMANDS = sorted(
    {
        (path.name, *command)
        for path in PAGES
        for command in re.findall(r"python -m ([\w.]+)([^`|#&\n]*)", path.read_text(encoding="utf-8"))
    }
)


def tree_paths() -> list[str]:
    return [line.split()[0] for line in TREE]


@cache
def help_of(*command: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", *command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_every_make_command_named_in_readme_and_docs_exists() -> None:
    named = {name for path in PAGES for name in make_targets_named_in(path.read_text(encoding="utf-8"))}
    assert {"repro", "chat", "test"} <= named <= make_targets()


@pytest.mark.parametrize(("page", "module", "arguments"), COMMANDS)
def test_every_python_command_exists_and_knows_its_options(page: str, module: str, arguments: str) -> None:
    assert importlib.util.find_spec(module)
    assert all((ROOT / path).exists() for path in re.findall(r"tests/\S+", arguments))
    if module == "lockstep" or module.startswith("stages."):  # the others load torch for their help
        command = re.findall(r"^ ([a-z]+)", arguments) if module == "lockstep" else []
        assert set(re.findall(r"--[a-z-]+", arguments)) <= set(re.findall(r"--[a-z-]+", help_of(module, *command)))


def test_every_name_that_a_python_example_imports_exists() -> None:
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    imports = [node for text in examples for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    assert imports
    for node in imports:
        assert all(hasattr(importlib.import_module(str(node.module)), alias.name) for alias in node.names)


@pytest.mark.parametrize("line", TREE)
def test_each_line_of_the_tree_is_one_path_that_exists_and_what_it_is(line: str) -> None:
    match = TREE_LINE.fullmatch(line)
    assert match
    assert (ROOT / match[1]).exists()
    assert (ROOT / match[1]).is_dir() == match[1].endswith("/")


def test_tree_covers_every_top_level_name_in_git() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    top = {name.split("/")[0] for name in files if name and not name.startswith(".")}
    assert top - KNOWN_ANYWHERE == {path.split("/")[0] for path in tree_paths()}


def test_tree_covers_every_package_of_the_library_and_every_stage() -> None:
    packages = {f"{path.parent.relative_to(ROOT).as_posix()}/" for path in (ROOT / "lockstep").glob("*/__init__.py")}
    assert packages == {path for path in tree_paths() if path.startswith("lockstep/") and path != "lockstep/"}
    stages = next(line for line in TREE if line.startswith("stages/ "))
    assert stages.endswith(": " + ", ".join(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]))


def test_every_preset_is_in_the_table_and_every_named_one_exists() -> None:
    table = README[README.index("## Presets") : README.index("## The model you get")]
    assert set(re.findall(r"^\| `([\w-]+)`", table, re.M)) == {path.stem for path in (ROOT / "presets").glob("*.yaml")}


def test_parameter_table_says_which_stage_reads_which_section() -> None:
    table = README[README.index("## Parameters") : README.index("## Presets")]
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for row in re.findall(r"^\| (`.*?) \| .*? \| (.*?) \|$", table, re.M):
        named = set(row[1].split(", ")) & set(stages)
        for section in re.findall(r"`(\w+)`", row[0]):
            readers = {stage for stage, it in stages.items() if any(p.split(".")[0] == section for p in it["params"])}
            assert readers <= named | {"export"}, (section, readers)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)
