"""README's commands exist, its tree is true, and its examples are the program's own words."""

import re
import subprocess

import yaml
from structure import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_make_command_named_in_readme_and_docs_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+(?: [a-z-]+)*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    known = {name for group in targets for name in group.split()}
    texts = [README, *(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))]
    named = {name for text in texts for name in re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)}
    assert {"repro", "chat", "test"} <= named <= known


def test_tree_names_paths_that_exist() -> None:
    tree = re.search(r"How it is laid out\n\n```\n(.*?)```", README, re.DOTALL)
    assert tree
    for line in tree.group(1).splitlines():
        for path in re.split(r"\s{2,}", line)[:-1]:
            assert (ROOT / path).exists(), path


def test_tree_covers_every_top_level_name_in_git() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    top = {name.split("/")[0] for name in files if name and not name.startswith(".")}
    expected = {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "dvc.lock"}  # what a reader needs no word on
    missing = {
        name for name in top - expected if not re.search(rf"^{re.escape(name)}|  {re.escape(name)}", README, re.M)
    }
    assert not missing


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
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)
