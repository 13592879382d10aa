"""The source's own shape: who imports whom, what dvc.yaml declares, how long things are."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from structure import ROOT, STAGES, closure, imported_names, imports_at_load, module_file, params_read

COMMANDS = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__")
SOURCES = sorted((ROOT / "stages").rglob("*.py"))
HEAVY = {"torch", "transformers", "datasets", "pandas", "sklearn", "mlflow", "tokenizers", "accelerate"}
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
LONGEST_FILE, LONGEST_FUNCTION = 300, 60  # lines


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def source_deps(stage: str) -> list[str]:
    return [dep for dep in PIPELINE[stage]["deps"] if dep.startswith("stages/")]


def declared_params(stage: str) -> set[str]:
    assert all(isinstance(key, str) for key in PIPELINE[stage]["params"])
    return set(PIPELINE[stage]["params"])


def test_the_pipeline_has_the_five_stages_and_runs_each_as_a_module() -> None:
    assert {name: stage["cmd"] for name, stage in PIPELINE.items()} == {s: f"exec python -m stages.{s}" for s in STAGES}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_files_it_imports(stage: str) -> None:
    hashed = STAGES if stage == "export" else (stage,)  # the receipt names the code of all stages
    imported = {short(path) for name in hashed for path in closure(ROOT / "stages" / f"{name}.py")}
    assert source_deps(stage) == sorted(imported - {"stages/__init__.py", "__init__.py"})


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_exactly_the_params_it_reads(stage: str) -> None:
    assert declared_params(stage) == params_read(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_a_changed_web_page_or_command_reruns_no_stage(stage: str) -> None:
    other = {f"stages/{name}.py" for name in COMMANDS if name not in (STAGES if stage == "export" else (stage,))}
    assert not [dep for dep in source_deps(stage) if dep.startswith("lockstep/server/page") or "web_" in dep or dep in other]
    assert "stages" not in PIPELINE[stage]["deps"]


@pytest.mark.parametrize("stage", STAGES)
def test_metrics_and_plots_are_kept_in_git_not_in_the_cache(stage: str) -> None:
    kept = [*PIPELINE[stage].get("metrics", []), *PIPELINE[stage].get("plots", [])]
    assert all(list(entry.values()) == [{"cache": False}] for entry in kept)


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_a_stage_imports_only_core_and_core_never_a_stage(path: Path) -> None:
    ours = {name for name in imported_names(path) if name.split(".")[0] == "stages" and module_file(name)}
    assert {name for name in ours if not name.startswith("stages.core") and name != "stages"} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_loading_a_command_imports_nothing_heavy(name: str) -> None:
    waiting, seen, heavy = [ROOT / "stages" / f"{name}.py"], set(), {}
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


@pytest.mark.parametrize("name", COMMANDS)
def test_help_comes_at_once_and_names_the_command(name: str) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module('stages.{name}', run_name='__main__')\n"
        f"finally: print('heavy:', sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"usage: python -m stages.{name}" in done.stdout
    assert "heavy: []" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_run_by_path_a_command_says_how_to_run_it(name: str) -> None:
    done = subprocess.run([sys.executable, f"stages/{name}.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert (
        done.stderr
        == f"error: Run it as `python -m stages.{name}{' NAME' * (name == 'preset')}` from the project's root.\n"
    )


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


@pytest.mark.parametrize("name", ["prepare", "tokenize", "train", "export"])
def test_the_run_cache_of_dvc_can_keep_a_stage(name: str) -> None:
    # dvc/stage: one whose outputs, metrics and plots apart, are not all cached is left out of it.
    assert all(isinstance(out, str) for out in PIPELINE[name]["outs"])
