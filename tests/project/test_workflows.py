"""The workflows for the users' own repository: what they run exists, and forks get no more rights than they need."""

import re
from typing import Any

import pytest
import yaml
from structure import ROOT, make_targets

FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_make_target_a_workflow_runs_exists(path: Any) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    called = [name for step in steps(workflow) for name in re.findall(r"make (?:--silent )?(\w+)", step.get("run", ""))]
    assert called
    assert set(called) <= make_targets()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_text_of_a_stranger_is_pasted_into_a_shell(path: Any) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert [step["run"] for step in steps(workflow) if "${{" in step.get("run", "")] == []
    assert "pull_request_target" not in path.read_text(encoding="utf-8")


def test_the_comparison_has_history_a_summary_and_a_comment_where_rights_allow() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/pipeline.yml").read_text(encoding="utf-8"))
    named = {step.get("name", step.get("uses", step.get("run"))): step for step in steps(workflow)}
    assert named["actions/checkout@v5"]["with"]["fetch-depth"] == 0
    assert "GITHUB_STEP_SUMMARY" in named["Compare with the base branch"]["run"]
    assert "head.repo.full_name == github.repository" in named["Comment on the pull request"]["if"]
    assert list(named)[-1] == "Gates"
