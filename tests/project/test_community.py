"""The files that hosts, editors and contributors' tools read: they parse, and agree with the project."""

import configparser
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from structure import ROOT, make_targets, make_targets_named_in

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FORMS = [ROOT / ".github/ISSUE_TEMPLATE" / f"{name}.yml" for name in ("bug", "idea")]
EDITED = (".py", ".md", ".yaml", ".yml", ".toml", ".js", ".css", ".html", ".j2", ".cff")  # endings of files people edit


def read_yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def editor_settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string("[top]\n" + (ROOT / ".editorconfig").read_text(encoding="utf-8"))
    return parser


def test_pre_commit_runs_ruff_at_the_pinned_version() -> None:
    hooks = {repo["repo"].rpartition("/")[2]: repo for repo in read_yaml(".pre-commit-config.yaml")["repos"]}
    pinned = re.search(r"^ruff==(.+)$", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned and hooks["ruff-pre-commit"]["rev"] == f"v{pinned[1]}"
    assert [hook["id"] for hook in hooks["ruff-pre-commit"]["hooks"]] == ["ruff-check", "ruff-format"]


def test_pre_commit_runs_the_mypy_of_the_project() -> None:
    (repo,) = (repo for repo in read_yaml(".pre-commit-config.yaml")["repos"] if repo["repo"] == "local")
    (hook,) = repo["hooks"]
    assert (hook["entry"], hook["language"], hook["pass_filenames"]) == (".venv/bin/mypy", "system", False)


def test_citation_agrees_with_pyproject_and_the_licence() -> None:
    citation, project = read_yaml("CITATION.cff"), PROJECT["project"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"].lower() == project["name"]
    assert citation["abstract"] == project["description"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    holder = re.search(r"^Copyright \(c\) \d+ (.+)$", licence, re.MULTILINE)
    assert licence.startswith(f"{citation['license']} License\n")
    assert holder and citation["authors"] == [{"name": holder[1]}]


def test_editors_use_the_widths_of_ruff_and_tabs_in_makefiles() -> None:
    settings = editor_settings()
    assert settings["*"]["max_line_length"] == str(PROJECT["tool"]["ruff"]["line-length"])
    assert (settings["*"]["indent_size"], settings["Makefile"]["indent_style"]) == ("4", "tab")


def test_files_that_people_edit_end_their_lines_as_editorconfig_says() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    kept = re.compile(r"(data|metrics|models)/")  # `unset` there
    texts = {name: (ROOT / name).read_bytes() for name in files if name.endswith(EDITED) and not kept.match(name)}
    assert [name for name, text in texts.items() if b"\r" in text or (text and not text.endswith(b"\n"))] == []


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_has_what_github_asks_for(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"] and form["description"]
    fields = [item for item in form["body"] if item["type"] != "markdown"]
    assert all(item["type"] in ("input", "textarea", "dropdown") and item["attributes"]["label"] for item in fields)
    assert len({item["id"] for item in fields}) == len(fields)
    assert "leave out your data and every token" in path.read_text(encoding="utf-8")


def test_the_bug_form_offers_targets_that_exist() -> None:
    named = make_targets_named_in(FORMS[0].read_text(encoding="utf-8"))
    assert {"repro", "chat", "serve"} <= named <= make_targets()


def test_the_dev_container_has_the_python_of_the_project_and_sets_it_up() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert container["image"].endswith(f":{PROJECT['project']['requires-python'].removeprefix('>=')}")
    assert container["postCreateCommand"].removeprefix("make ") in make_targets()
    code = container["customizations"]["vscode"]
    assert code["settings"]["python.defaultInterpreterPath"] == ".venv/bin/python"
    assert "charliermarsh.ruff" in code["extensions"]
