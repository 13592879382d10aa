"""The source's own shape: who imports whom, what dvc.yaml declares, how long things are."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from projects import command_line
from structure import (
    ROOT,
    STAGES,
    closure,
    imported_names,
    imports_at_load,
    module_file,
    package_of,
    params_read,
    source_files,
)

from lockstep.core.checksums import LEFTOVERS

LIBRARY = source_files("lockstep")
SOURCES = source_files("stages") + LIBRARY
STAGE_FILES = sorted(
    path.stem for path in (ROOT / "stages").glob("*.py") if path.stem not in ("__init__", "run_by_path")
)
CLI = sorted(path.stem for path in (ROOT / "lockstep/cli").glob("*.py") if path.stem != "__init__")
ENTRIES = [
    *(ROOT / "stages" / f"{name}.py" for name in STAGE_FILES),
    *(ROOT / "lockstep/cli" / f"{name}.py" for name in CLI),
]
HEAVY = {"torch", "transformers", "datasets", "pandas", "sklearn", "mlflow", "tokenizers", "accelerate"}
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
LONGEST_FILE, LONGEST_FUNCTION = 400, 60  # lines
LONGEST_PIPELINE = 180  # lines of dvc.yaml

# What each package may import besides itself. Imports run downwards only: a package comes after all that it imports.
ALLOWED = {
    "core": (),
    "artifacts": ("core",),
    "pretrained": ("core",),
    "bases": ("core", "pretrained"),
    "prompting": ("core", "artifacts", "pretrained"),
    "data": ("core", "artifacts"),
    "tokenization": ("core", "artifacts", "pretrained", "prompting"),
    "modeling": ("core", "pretrained"),
    "training": ("core", "artifacts", "pretrained", "modeling"),
    "generation": ("core", "artifacts", "pretrained", "prompting", "modeling"),
    "evaluation": ("core", "artifacts", "pretrained", "prompting", "modeling", "generation"),
    "export": ("core", "pretrained"),
    "chat": ("core", "artifacts", "pretrained", "prompting", "modeling", "generation"),
    "server": ("core", "artifacts", "pretrained", "generation", "chat"),
    "review": ("core", "evaluation", "export"),
    "verify": ("core", "pretrained", "review"),
}
# (file, stage that depends on its folder but does not use it): a change of such a file runs that stage once too often.
SURPLUS = {
    ("lockstep/core/parallel.py", "export"),
    ("lockstep/prompting/chat_template.py", "evaluate"),
    ("lockstep/bases/own.py", "base"),  # a run of base that finds the base whole is a second's work
    *((f"lockstep/core/{name}.py", "base") for name in ("git", "parallel", "provenance", "tracking")),
}
# What no stage may ever depend on: a changed page or command runs no stage again.
BESIDE = ("lockstep/chat", "lockstep/server", "lockstep/review", "lockstep/verify", "lockstep/cli")


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_deps(stage: str) -> list[str]:
    return [dep for dep in PIPELINE[stage]["deps"] if dep.startswith(("stages", "lockstep"))]


def files_in(dep: str) -> set[str]:
    """The Python files that a dep is or holds, but for a package's own docstring."""
    path = ROOT / dep
    files = {path} if path.is_file() else set(path.rglob("*.py"))
    return {short(file) for file in files if file.name != "__init__.py"}


def imported_by(stage: str) -> set[str]:
    return {short(path) for path in closure(ROOT / "stages" / f"{stage}.py") if path.name != "__init__.py"}


def test_the_pipeline_has_the_six_stages_and_runs_each_as_a_module() -> None:
    assert {name: stage["cmd"] for name, stage in PIPELINE.items()} == {s: f"exec python -m stages.{s}" for s in STAGES}


def test_dvc_yaml_reads_like_a_table_of_contents() -> None:
    assert len((ROOT / "dvc.yaml").read_text(encoding="utf-8").splitlines()) <= LONGEST_PIPELINE


@pytest.mark.parametrize("stage", STAGES)
def test_all_that_a_stage_imports_lies_in_its_deps_and_each_of_them_is_needed(stage: str) -> None:
    deps = code_deps(stage)
    assert imported_by(stage) <= set().union(*map(files_in, deps))
    assert [dep for dep in deps if not files_in(dep) & imported_by(stage)] == []
    assert [dep for dep in deps if any(dep.startswith(f"{other}/") for other in deps)] == [], "named twice"


def test_only_the_files_listed_above_are_in_the_deps_of_a_stage_that_does_not_use_them() -> None:
    held = {(file, stage) for stage in STAGES for dep in code_deps(stage) for file in files_in(dep)}
    assert {(file, stage) for file, stage in held if file not in imported_by(stage)} == SURPLUS


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_exactly_the_params_it_reads(stage: str) -> None:
    assert all(isinstance(key, str) for key in PIPELINE[stage]["params"])
    assert set(PIPELINE[stage]["params"]) == params_read(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_a_changed_page_or_command_reruns_no_stage(stage: str) -> None:
    others = {f"stages/{name}.py" for name in STAGE_FILES if name != stage}
    for dep in code_deps(stage):
        assert dep not in ("stages", "lockstep") and dep not in others
        assert not [beside for beside in BESIDE if f"{dep}/".startswith(f"{beside}/") or beside.startswith(f"{dep}/")]


def test_what_python_or_an_editor_leaves_beside_code_changes_no_stage() -> None:
    for name in (".dvcignore", ".gitignore"):
        ignored = (ROOT / name).read_text(encoding="utf-8").splitlines()
        assert set(LEFTOVERS) <= {line.removesuffix("/") for line in ignored}


@pytest.mark.parametrize("stage", STAGES)
def test_metrics_and_plots_are_kept_in_git_not_in_the_cache(stage: str) -> None:
    kept = [*PIPELINE[stage].get("metrics", []), *PIPELINE[stage].get("plots", [])]
    assert all(list(entry.values()) == [{"cache": False}] for entry in kept)


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "base"])
def test_each_stage_writes_its_own_provenance_and_export_reads_those_before_it(stage: str) -> None:
    assert {f"metrics/provenance/{stage}.json": {"cache": False}} in PIPELINE[stage]["metrics"]
    if stage != "export":
        assert f"metrics/provenance/{stage}.json" in PIPELINE["export"]["deps"]


def test_every_package_has_its_place_and_none_may_import_one_that_comes_after_it() -> None:
    packages = {path.parent.name for path in (ROOT / "lockstep").glob("*/__init__.py")}
    assert packages == {*ALLOWED, "cli"}
    order = list(ALLOWED)
    for package, allowed in ALLOWED.items():
        assert all(order.index(other) < order.index(package) for other in allowed)


@pytest.mark.parametrize("path", LIBRARY, ids=short)
def test_imports_run_downwards_only(path: Path) -> None:
    package = package_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    names = {name for name in imported_names(path) if module_file(name)}
    assert not [name for name in names if name.split(".")[0] == "stages"], "the library never imports a stage"
    if package in ALLOWED:
        assert {package_of(name) for name in names} - {package, ""} <= set(ALLOWED[package])


@pytest.mark.parametrize("path", [ROOT / "stages" / f"{name}.py" for name in STAGE_FILES], ids=short)
def test_a_stage_imports_the_library_and_never_another_stage(path: Path) -> None:
    names = {name for name in imported_names(path) if name.split(".")[0] == "stages" and module_file(name)}
    assert names <= {"stages"}


@pytest.mark.parametrize("path", ENTRIES, ids=short)
def test_loading_a_command_imports_nothing_heavy(path: Path) -> None:
    waiting, seen, heavy = [path], set(), {}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        names = imports_at_load(path)
        if found := HEAVY & {module.split(".")[0] for module in names}:
            heavy[short(path)] = found
        waiting += [ours for module in names if (ours := module_file(module)) and ours not in seen]
    assert heavy == {}


def test_preparing_data_needs_neither_torch_nor_transformers() -> None:
    for path in closure(ROOT / "stages" / "prepare.py"):
        assert not {"torch", "transformers", "datasets"} & {m.split(".")[0] for m in imported_names(path)}, short(path)


@pytest.mark.parametrize("name", [*STAGE_FILES, *CLI, ""])
def test_help_comes_at_once_and_names_the_command(name: str) -> None:
    module, *arguments = command_line(name)[2:] if name else ["lockstep"]
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['x', *{arguments!r}, '--help']\n"
        f"try: runpy.run_module({module!r}, run_name='__main__')\n"
        f"finally: print('heavy:', sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"usage: python -m {' '.join([module, *arguments])}" in done.stdout
    assert "heavy: []" in done.stdout


def test_one_help_lists_every_command_with_what_it_does() -> None:
    done = subprocess.run([sys.executable, "-m", "lockstep"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in CLI:
        docstring = ast.get_docstring(ast.parse((ROOT / "lockstep/cli" / f"{name}.py").read_text(encoding="utf-8")))
        assert docstring and docstring.startswith(f"{name}: ")
        assert f"  {name:<10}{docstring.splitlines()[0].removeprefix(f'{name}: ')}\n" in done.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "lockstep" / "cli").glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_the_file_of_a_command_runs_as_a_module_too(path: Path) -> None:
    command = [sys.executable, "-m", f"lockstep.cli.{path.stem}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage:")


def test_an_unknown_command_is_one_line_with_the_one_that_was_meant() -> None:
    command = [sys.executable, "-m", "lockstep", "chekc"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: There is no command chekc. Did you mean check?")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", STAGE_FILES)
def test_run_by_path_a_stage_says_how_to_run_it(name: str) -> None:
    done = subprocess.run([sys.executable, f"stages/{name}.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: Run it as `python -m stages.{name}` from the project's root.\n"


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_files_and_functions_are_short_enough_to_read(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, node.name


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_no_module_has_a_name_that_says_nothing(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "common", "misc"}


@pytest.mark.parametrize("package", [*ALLOWED, "cli", "stages"])
def test_the_tests_of_a_package_lie_in_a_folder_of_its_name(package: str) -> None:
    folder = ROOT / "tests" / package
    assert list(folder.glob("test_*.py")), f"tests/{package} has no tests"


@pytest.mark.parametrize("package", [*ALLOWED, "cli", "stages"])
def test_the_tests_of_a_file_are_found_by_its_name(package: str) -> None:
    code = ROOT / ("stages" if package == "stages" else f"lockstep/{package}")
    files = {path.stem for path in code.glob("*.py")}
    names = [path.stem.removeprefix("test_") for path in (ROOT / "tests" / package).glob("test_*.py")]
    assert [name for name in names if not any(f"{name}_".startswith(f"{file}_") for file in files)] == []


@pytest.mark.parametrize("name", ["prepare", "tokenize", "train", "export"])
def test_the_run_cache_of_dvc_can_keep_a_stage(name: str) -> None:
    # dvc/stage: one whose outputs, metrics and plots apart, are not all cached is left out of it.
    assert all(isinstance(out, str) for out in PIPELINE[name]["outs"])
