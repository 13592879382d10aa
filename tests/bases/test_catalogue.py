"""The catalogue of bases: every entry is complete and true, names are resolved without network, paths are refused."""

from pathlib import Path

import pytest
import yaml
from projects import ROOT, Project, hashes

from lockstep.bases.catalogue import read_catalogue, resolve, write_entry
from lockstep.core.errors import LockstepError
from lockstep.core.settings import load_params

PRESETS = sorted((ROOT / "presets").glob("*.yaml"))


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project itself as the current folder."""
    monkeypatch.chdir(ROOT)


def test_every_entry_says_where_it_is_from_what_pins_its_bytes_and_its_licence(shipped: None) -> None:
    entries = read_catalogue()
    assert {"smollm2-135m", "tiny", "distilgpt2", "gpt2", "gpt2-medium"} <= entries.keys()
    for entry in entries.values():
        assert entry.sha256 or entry.revision
        assert entry.size and entry.licence != "unknown" and entry.about.endswith(".")


def test_the_embedded_base_is_the_one_of_its_entry(shipped: None) -> None:
    files = hashes("models/tiny")
    del files["README.md"]
    entry = read_catalogue()["tiny"]
    assert entry.sha256 == files
    assert entry.size == sum((Path("models/tiny") / name).stat().st_size for name in files)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_the_base_of_a_preset_is_in_the_catalogue_with_its_revision(shipped: None, path: Path) -> None:
    model = yaml.safe_load(path.read_text())["model"]
    if model["base"] != "scratch":
        assert read_catalogue()[model["base"]].revision in (model["revision"], None)


def test_the_base_of_params_yaml_is_in_the_catalogue(shipped: None) -> None:
    model = load_params().model
    assert resolve(model.base, model.revision) == read_catalogue()[model.base]


def test_another_name_is_one_of_the_hub_and_a_revision_takes_the_place_of_the_catalogues(shipped: None) -> None:
    assert resolve("some/one", "v2").identity() == {"source": "hub", "from": "some/one", "revision": "v2"}
    assert resolve("some/one").identity() == {"source": "hub", "from": "some/one"}
    assert resolve("gpt2", "v2").identity() == {"source": "hub", "from": "gpt2", "revision": "v2"}
    assert resolve("gpt2") == resolve("gpt2", read_catalogue()["gpt2"].revision)


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("./mine", "mine"),
        ("../mine.gguf", "mine"),
        ("/data/my model", "mymodel"),
        ("~/mine", "mine"),
        ("a/b/c", "c"),
        ("models/base", "base"),
        ("models", "models"),
        ("me/..", "mine"),
    ],
)
def test_a_path_is_refused_with_the_command_that_gives_it_a_name(shipped: None, base: str, name: str) -> None:
    with pytest.raises(LockstepError) as caught:
        resolve(base)
    assert str(caught.value) == (
        f"model.base = {base} is a path, and a name is needed. "
        f"Run `make base NAME={name} FROM={base}`, then set model.base to {name}."
    )


def test_a_name_that_no_model_can_have_is_refused_with_the_one_that_was_meant(shipped: None) -> None:
    with pytest.raises(LockstepError, match=r"model\.base = gpt2 medium: .*Did you mean gpt2-medium\?"):
        resolve("gpt2 medium")
    with pytest.raises(LockstepError, match="`make base` lists"):
        resolve("my model!")


def test_a_base_that_is_not_of_the_hub_has_no_revision(shipped: None) -> None:
    with pytest.raises(LockstepError, match=r"model\.revision is abc, but tiny .*Set model\.revision to none"):
        resolve("tiny", "abc")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", r"^models/bases\.yaml holds no bases"),
        ("a: 3", r"^models/bases\.yaml: a: "),
        ("a: {source: hub, from: b, licence: MIT, template: none}", r"^models/bases\.yaml: a\.about: "),
        ("a: {source: disk, from: b, licence: MIT, template: none, about: x}", r"^models/bases\.yaml: a\.source: "),
        (
            "a: {source: wheel, from: b, licence: MIT, template: none, about: x}",
            r"^models/bases\.yaml: a: source wheel needs version, member, sha256",
        ),
        (
            "a: {source: gguf, from: b, sha256: 12, licence: MIT, template: none, about: x}",
            r"^models/bases\.yaml: a\.sha256",
        ),
        ("a: [", r"^models/bases\.yaml line 1 "),
    ],
)
def test_a_damaged_catalogue_is_one_clear_line(project: Project, content: str, problem: str) -> None:
    project.put("models/bases.yaml", content)
    with pytest.raises(LockstepError, match=problem) as caught:
        resolve("a")
    assert "\n" not in str(caught.value)


def test_an_entry_is_added_at_the_end_and_comments_stay(project: Project) -> None:
    project.put("models/bases.yaml", (ROOT / "models/bases.yaml").read_text(encoding="utf-8"))
    before = Path("models/bases.yaml").read_text(encoding="utf-8")
    entry = read_catalogue()["gpt2"].model_copy(update={"about": "Mine."})
    write_entry("mine", entry)
    after = Path("models/bases.yaml").read_text(encoding="utf-8")
    assert after.startswith(before)
    assert read_catalogue()["mine"] == entry
