"""The encoding of a text file. The whole file is decoded once, so that reading it afterwards can't fail."""

import codecs
import encodings.aliases
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lockstep.core.errors import LockstepError, did_you_mean, shortened

BLOCK_BYTES = 1 << 20  # bytes read at once
HEAD_BYTES = 4096  # bytes from which UTF-16 without a mark is recognized
SAMPLE_BYTES = 1 << 16  # bytes of non-ASCII lines from which a code page is guessed
MAX_LATIN_SHARE = 0.3  # share of bytes above 127 in these lines: Latin scripts stay below, others are far above
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
NO_FILE_ENCODINGS = ("idna", "punycode", "undefined")  # text encodings to Python, but of host names or of nothing
SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")  # half a character of UTF-16, encoded in the way of UTF-8
LATIN_PAGES = ["cp1252", "cp1250", "cp1254"]
OTHER_PAGES = ["cp1251", "cp1253", "cp1255", "cp1256", "cp1258", "cp874", "cp932", "gb18030", "big5", "cp949", "euc_jp"]


def find_encoding(path: Path, wanted: str = "auto") -> str:
    """The Python codec that decodes the file without an error.

    wanted: 'auto', or the codec that the user names.
    Raises LockstepError when the file is empty or no text, and, with the line, when the codec can't decode it.
    """
    head = next(_blocks(path), b"")
    if not head:
        raise LockstepError(f"{path} is empty.", "Put rows into it, or choose another file in data.path or data.files.")
    by_mark = next((codec for mark, codec in BYTE_ORDER_MARKS if head.startswith(mark)), None)
    _refuse_binary(path, head, by_mark or wanted)
    if wanted != "auto":
        codec = _known_codec(wanted)
        if by_mark and codec.startswith(by_mark.removesuffix("-sig")):
            codec = by_mark  # the same codec, but it takes the mark away
        elif codec in ("utf-16", "utf-32"):
            raise LockstepError(
                f"{path} has no byte order mark, so data.encoding = {wanted} leaves open how to read it.",
                f"Write {codec}-le or {codec}-be there, or auto.",
            )
        _require_decodable(path, codec, f"Name the encoding it has in data.encoding, not {wanted}, or put auto there.")
        return codec
    by_head = by_mark or _utf16_without_mark(head)
    if by_head:
        _require_decodable(path, by_head, "Save the file again as UTF-8.")
        return by_head
    return "utf-8" if _first_undecodable(path, "utf-8") is None else _code_page(path)


def open_text(path: Path, codec: str, newline: str | None = None) -> IO[str]:
    """Open a file for reading with the codec that find_encoding gives."""
    return path.open(encoding=codec, newline=newline)


def cannot_read(path: Path, error: OSError) -> LockstepError:
    """The error for a file that can't be read."""
    reason = error.strerror or str(error)
    return LockstepError(
        f"Cannot read {shortened(str(path), 200)}: {reason}.", "Give read permission, or choose another file."
    )


def shown_encoding(codec: str) -> str:
    """The codec's name in messages and metrics: 'utf-8' with or without a byte order mark."""
    return codec.removesuffix("-sig")


def _blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, BLOCK_BYTES at a time. Raises LockstepError where it can't be read."""
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block
    except OSError as error:
        raise cannot_read(path, error) from None


def _refuse_binary(path: Path, head: bytes, codec: str) -> None:
    """Raise LockstepError for a file with the first bytes of a binary format, or with a NUL byte outside UTF-16."""
    for magic, what in BINARY_FORMATS:
        if head.startswith(magic):
            raise LockstepError(f"{path} is {what}, whatever its name says.", "Save it as CSV, JSON or text in UTF-8.")
    if head.startswith(LFS_POINTER):
        raise LockstepError(f"{path} is a Git LFS pointer, not the file itself.", "Fetch that with `git lfs pull`.")
    is_wide = codec.lower().replace("_", "-").startswith(("utf-16", "utf-32", "utf16", "utf32"))
    if is_wide or _utf16_without_mark(head):
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
    """The codec of UTF-16 without a mark: mostly Latin text has a zero in nearly every second byte."""
    sample = head[:HEAD_BYTES]
    even, odd = sample[0::2], sample[1::2]
    if len(odd) > 1 and odd.count(0) > 0.4 * len(odd) and even.count(0) < 0.05 * len(even):
        return "utf-16-le"
    if len(even) > 1 and even.count(0) > 0.4 * len(even) and odd.count(0) < 0.05 * len(odd):
        return "utf-16-be"
    return None


def _known_codec(name: str) -> str:
    """Python's own name of the codec. Raises LockstepError where there is none, or none of texts."""
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):
        known = set(encodings.aliases.aliases.values()) - {name.lower()}  # some are of other systems only
        hint = did_you_mean(name.lower().replace("-", "_"), sorted(known), lead=" Did you mean ")
        raise LockstepError(
            f"data.encoding = {shortened(name)!r} is no encoding Python knows.{hint}", "Write auto: it finds it."
        ) from None
    if info.name in NO_FILE_ENCODINGS or not getattr(info, "_is_text_encoding", True):
        raise LockstepError(f"data.encoding = {name!r} is no encoding of texts.", "Write auto: it finds the right one.")
    return "utf-8-sig" if info.name == "utf-8" else info.name


def _first_undecodable(path: Path, codec: str) -> tuple[int, int] | None:
    """(line, byte value) of the first byte that the codec can't decode, or None."""
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
    undecodable = _first_undecodable(path, codec)
    if undecodable:
        line, byte = undecodable
        raise LockstepError(f"{path} line {line}: byte 0x{byte:02X} is not {shown_encoding(codec)}.", remedy)


def _code_page(path: Path) -> str:
    """The code page of a file that is not UTF-8. Raises LockstepError where it is UTF-8 with a few broken bytes."""
    lines = b"".join(_non_ascii_lines(path))
    broken = lines.decode("utf-8", errors="replace").count("\ufffd")
    characters = len(lines.decode("utf-8", errors="ignore")) - sum(byte < 128 for byte in lines)
    if characters > broken or SURROGATE.search(lines):
        _require_decodable(path, "utf-8", "The rest is UTF-8: put that line right, or name another data.encoding.")
    high_share = sum(byte >= 128 for byte in lines) / max(1, len(lines))
    pages = LATIN_PAGES if high_share < MAX_LATIN_SHARE else OTHER_PAGES
    for codec in [*_likeliest(lines, pages), "cp1252"]:
        if _first_undecodable(path, codec) is None:
            return codec
    return "latin-1"  # decodes every byte


def _likeliest(lines: bytes, pages: list[str]) -> list[str]:
    """The likeliest code pages, Western European before others."""
    from charset_normalizer import from_bytes

    matches = list(from_bytes(lines, cp_isolation=pages))
    if not matches:
        return []
    best = matches[0]
    likely = [m for m in matches if m.chaos <= best.chaos + 0.02 and m.coherence >= best.coherence - 0.08]
    if str(best) == lines.decode("cp1252", errors="replace"):
        return ["cp1252"]
    return sorted((match.encoding for match in likely), key=lambda codec: codec != "cp1252")


def _non_ascii_lines(path: Path) -> Iterator[bytes]:
    """The first lines with a byte above 127, SAMPLE_BYTES of them."""
    size = 0
    try:
        with path.open("rb") as file:
            while size < SAMPLE_BYTES and (line := file.readline(SAMPLE_BYTES)):
                if not line.isascii():
                    size += len(line)
                    yield line
    except OSError:
        return
