"""Which encoding a text file is in. The whole file is decoded once, so that reading it afterwards can't fail."""

import codecs
import difflib
import encodings.aliases
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lockstep.core.errors import LockstepError, shortened

BLOCK = 1 << 20  # bytes read at once
SAMPLE = 1 << 16  # bytes of non-ASCII lines from which a code page is told
WESTERN_SHARE = 0.3  # of bytes above 127 in their lines: Latin scripts stay below, others are far above
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
BINARY_FORMATS = (
    (b"PK\x03\x04", "a zip archive or an Excel or Word file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
)
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
NO_FILE_ENCODINGS = ("idna", "punycode", "undefined")  # text encodings to Python, of host names and of nothing
SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")  # half a character of UTF-16, written as if UTF-8 had those
LATIN_PAGES = ["cp1252", "cp1250", "cp1254"]
OTHER_PAGES = ["cp1251", "cp1253", "cp1255", "cp1256", "cp1258", "cp874", "cp932", "gb18030", "big5", "cp949", "euc_jp"]


def find_encoding(path: Path, wanted: str = "auto") -> str:
    """The Python codec that reads the file without an error.

    wanted: 'auto', or the codec the user names.
    Raises LockstepError when the file is empty, no text, or has bytes that the codec does not know (with their line).
    """
    head = next(_blocks(path), b"")
    if not head:
        raise LockstepError(f"{path} is empty.", "Put rows into it, or choose another file in data.path or data.files.")
    marked = next((codec for mark, codec in BYTE_ORDER_MARKS if head.startswith(mark)), None)
    _refuse_binary(path, head, marked or wanted)
    if wanted != "auto":
        codec = _known_codec(wanted)
        if marked and codec.startswith(marked.removesuffix("-sig")):
            codec = marked  # the same codec, but it takes the mark away
        elif codec in ("utf-16", "utf-32"):
            raise LockstepError(
                f"{path} has no byte order mark, so data.encoding = {wanted} leaves open how to read it.",
                f"Write {codec}-le or {codec}-be there, or auto.",
            )
        _require_decodable(path, codec, f"Name the encoding it has in data.encoding, not {wanted}, or put auto there.")
        return codec
    told = marked or _utf16_without_mark(head)
    if told:
        _require_decodable(path, told, "Save the file again as UTF-8.")
        return told
    return "utf-8" if _first_undecodable(path, "utf-8") is None else _code_page(path)


def open_text(path: Path, codec: str, newline: str | None = None) -> IO[str]:
    """Open for reading what find_encoding has checked."""
    return path.open(encoding=codec, newline=newline)


def cannot_read(path: Path, error: OSError) -> LockstepError:
    """The one wording for a file that can't be read."""
    reason = error.strerror or str(error)
    return LockstepError(
        f"Cannot read {shortened(str(path), 200)}: {reason}.", "Give read permission, or choose another file."
    )


def shown_encoding(codec: str) -> str:
    """The name to print and to count: 'utf-8' with or without a byte order mark."""
    return codec.removesuffix("-sig")


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
    except OSError as error:
        raise cannot_read(path, error) from None


def _refuse_binary(path: Path, head: bytes, codec: str) -> None:
    """Archives, spreadsheets and the like are told by their first bytes; others by NUL bytes outside UTF-16."""
    for magic, what in BINARY_FORMATS:
        if head.startswith(magic):
            raise LockstepError(f"{path} is {what}, whatever its name says.", "Save it as CSV, JSON or text in UTF-8.")
    if head.startswith(LFS_POINTER):
        raise LockstepError(f"{path} is a Git LFS pointer, not the file itself.", "Fetch that with `git lfs pull`.")
    wide = codec.lower().replace("_", "-").startswith(("utf-16", "utf-32", "utf16", "utf32"))
    if wide or _utf16_without_mark(head):
        return
    line = 1
    for block in _blocks(path):
        before, nul, _ = block.partition(b"\0")
        line += before.count(b"\n")
        if nul:
            raise LockstepError(
                f"{path} line {line} holds a NUL byte, so it is no text.",
                "Save it as CSV, JSON or text in UTF-8; if it is that, take the byte out.",
            )


def _utf16_without_mark(head: bytes) -> str | None:
    """UTF-16 of mostly Latin text has a zero in nearly every second byte."""
    sample = head[:4096]
    even, odd = sample[0::2], sample[1::2]
    if len(odd) > 1 and odd.count(0) > 0.4 * len(odd) and even.count(0) < 0.05 * len(even):
        return "utf-16-le"
    if len(even) > 1 and even.count(0) > 0.4 * len(even) and odd.count(0) < 0.05 * len(odd):
        return "utf-16-be"
    return None


def _known_codec(name: str) -> str:
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):
        known = set(encodings.aliases.aliases.values()) - {name.lower()}  # some are of other systems only
        close = difflib.get_close_matches(name.lower().replace("-", "_"), sorted(known), n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise LockstepError(
            f"data.encoding = {shortened(name)!r} is no encoding Python knows.{hint}", "Write auto: it finds it."
        ) from None
    if info.name in NO_FILE_ENCODINGS or not getattr(info, "_is_text_encoding", True):
        raise LockstepError(f"data.encoding = {name!r} is no encoding of texts.", "Write auto: it finds the right one.")
    return "utf-8-sig" if info.name == "utf-8" else info.name


def _first_undecodable(path: Path, codec: str) -> tuple[int, int] | None:
    """(line, byte value) of the first byte the codec can't read, or None."""
    decoder = codecs.getincrementaldecoder(codec)()
    line = 1
    rest = b""  # bytes of a character cut by the end of the block before
    for block in _blocks(path):
        try:
            line += decoder.decode(block).count("\n")
        except UnicodeDecodeError as error:
            good = error.object[: error.start].decode(codec, errors="ignore")
            return line + good.count("\n"), error.object[error.start]
        rest = decoder.getstate()[0]
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return line, rest[0]
    return None


def _require_decodable(path: Path, codec: str, remedy: str) -> None:
    """Raise LockstepError, with the line, unless the whole file is text in this codec."""
    found = _first_undecodable(path, codec)
    if found:
        line, byte = found
        raise LockstepError(f"{path} line {line}: byte 0x{byte:02X} is not {shown_encoding(codec)}.", remedy)


def _code_page(path: Path) -> str:
    """The code page of a file that is not UTF-8. Raises LockstepError where it is UTF-8 with a few broken bytes."""
    lines = b"".join(_non_ascii_lines(path))
    broken = lines.decode("utf-8", errors="replace").count("\ufffd")
    characters = len(lines.decode("utf-8", errors="ignore")) - sum(byte < 128 for byte in lines)
    if characters > broken or SURROGATE.search(lines):
        _require_decodable(path, "utf-8", "The rest is UTF-8: put that line right, or name another data.encoding.")
    high = sum(byte >= 128 for byte in lines) / max(1, len(lines))
    pages = LATIN_PAGES if high < WESTERN_SHARE else OTHER_PAGES
    for codec in [*_likeliest(lines, pages), "cp1252"]:
        if _first_undecodable(path, codec) is None:
            return codec
    return "latin-1"  # knows every byte


def _likeliest(lines: bytes, pages: list[str]) -> list[str]:
    """Code pages in the order of their likelihood; Western European comes first where nothing speaks against it."""
    from charset_normalizer import from_bytes

    matches = list(from_bytes(lines, cp_isolation=pages))
    if not matches:
        return []
    best = matches[0]
    near = [m for m in matches if m.chaos <= best.chaos + 0.02 and m.coherence >= best.coherence - 0.08]
    if str(best) == lines.decode("cp1252", errors="replace"):
        return ["cp1252"]
    return sorted((match.encoding for match in near), key=lambda codec: codec != "cp1252")


def _non_ascii_lines(path: Path) -> Iterator[bytes]:
    """The first lines with a byte above 127, SAMPLE bytes of them."""
    found = 0
    try:
        with path.open("rb") as file:
            while found < SAMPLE and (line := file.readline(SAMPLE)):
                if not line.isascii():
                    found += len(line)
                    yield line
    except OSError:
        return
