"""The catalogue of bases, models/bases.yaml: what each name stands for, and adding one."""

import io
import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from lockstep.core.atomic_files import write_text
from lockstep.core.errors import LockstepError, did_you_mean
from lockstep.core.paths import BASE_CATALOGUE
from lockstep.core.settings import SCRATCH, Name, Section
from lockstep.core.yaml_files import read_yaml
from lockstep.pretrained.base import CONVERSION, refuse_path

OWN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
REQUIRED = {"wheel": ("version", "member", "sha256"), "hub": (), "gguf": ("sha256",), "folder": ("sha256",)}

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=1)]


class Entry(Section):
    """What the catalogue says of one base; models/bases.yaml explains each key."""

    source: Literal["wheel", "hub", "gguf", "folder"]
    origin: Name = Field(alias="from")
    version: Name | None = None
    member: Name | None = None
    revision: Name | None = None
    sha256: Sha256 | dict[str, Sha256] | None = None
    licence: Name
    size: Size | None = None
    template: Name
    about: Name

    @model_validator(mode="after")
    def _is_complete(self) -> "Entry":
        missing = [key for key in REQUIRED[self.source] if getattr(self, key) is None]
        if missing:
            raise ValueError(f"source {self.source} needs {', '.join(missing)}")
        if self.sha256 is not None and (self.source in ("hub", "folder")) != isinstance(self.sha256, dict):
            raise ValueError(f"sha256 of source {self.source} is {'one' if self.is_converted else 'one for each file'}")
        return self

    @property
    def is_converted(self) -> bool:
        """Whether the base comes as a GGUF file and is converted to a folder."""
        return self.source in ("wheel", "gguf")

    def identity(self) -> dict[str, Any]:
        """What tells the base from any other: another value of one of these is another base, to be fetched anew."""
        keys = ("source", "origin", "version", "revision", "sha256")
        values = {"from" if key == "origin" else key: getattr(self, key) for key in keys}
        if self.source == "hub":
            del values["sha256"]  # the commit says it all
        values["conversion"] = CONVERSION if self.is_converted else None
        return {key: value for key, value in values.items() if value is not None}


def read_catalogue() -> dict[str, Entry]:
    """Name -> entry of each base. Raises LockstepError where the file is missing, or an entry is not complete."""
    values = read_yaml(BASE_CATALOGUE)
    if not isinstance(values, dict):
        raise LockstepError(f"{BASE_CATALOGUE} holds no bases.", f"Restore it with `git checkout {BASE_CATALOGUE}`.")
    return {str(name): _entry(str(name), entry) for name, entry in values.items()}


def _entry(name: str, values: Any) -> Entry:
    try:
        return Entry.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join([name, *(str(part) for part in problem["loc"] if not isinstance(part, int))])
        reason = problem["msg"].removeprefix("Value error, ")
        raise LockstepError(
            f"{BASE_CATALOGUE}: {key}: {reason[0].lower()}{reason[1:]}.", "Put it right there."
        ) from None


def resolve(name: str, revision: str | None = None) -> Entry:
    """What a name in model.base stands for, without asking the network: a base of the catalogue, or one of the Hub.

    revision: model.revision, which takes the place of the catalogue's. Raises LockstepError where the name is a path or
    can be no model's, or a revision is given with a base that has none.
    """
    entry = read_catalogue().get(name)
    if entry is None:
        return _of_the_hub(name, revision)
    if revision is None or revision == entry.revision:
        return entry
    if entry.source != "hub":
        raise LockstepError(
            f"model.revision is {revision}, but {name} is no base of the Hub and has no revisions.",
            "Set model.revision to none.",
        )
    return entry.model_copy(update={"revision": revision, "sha256": None})


def _of_the_hub(name: str, revision: str | None) -> Entry:
    """The entry of a Hub id that is not in the catalogue."""
    refuse_path(name)
    if not HUB_ID.fullmatch(name):
        raise LockstepError(
            f"model.base = {name}: {BASE_CATALOGUE} has no such base, and no model on the Hub can have this name.",
            did_you_mean(name, read_catalogue()) or "`make base` lists the bases there are.",
        )
    facts = {"source": "hub", "from": name, "revision": revision, "licence": "unknown", "template": "none"}
    return Entry.model_validate({**facts, "about": "A model of the Hugging Face Hub."})


def check_own_name(name: str) -> None:
    """Raise LockstepError unless a base that the user adds can have this name."""
    if name == SCRATCH or not OWN_NAME.fullmatch(name):
        raise LockstepError(
            f"NAME = {name} can't be the name of a base.", "Take letters, digits, dots and hyphens, but not scratch."
        )


def write_entry(name: str, entry: Entry) -> None:
    """Add an entry at the end of the catalogue, or put it in the place of the one of this name; comments are kept."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 200
    values = yaml.load(BASE_CATALOGUE.read_text(encoding="utf-8"))
    values[name] = entry.model_dump(by_alias=True, exclude_none=True)
    text = io.StringIO()
    yaml.dump(values, text)
    write_text(BASE_CATALOGUE, text.getvalue())
