"""Slim wheels: the packages in the zips without their tests, headers and symbol tables.

License texts whose paths are too long for Windows are gathered in one file.
Large libraries of Linux, whose packages would not fit otherwise, are compressed by LZMA, which
Python's zipfile reads.
"""

import base64
import copy
import csv
import hashlib
import io
import lzma
import os
import struct
import zipfile
import zlib
from fnmatch import fnmatchcase
from pathlib import Path

from hund_backend.atomic_write import atomic_write

from .cache import cache_folder

UNUSED = (
    "*/tests/*",
    "torch/bin/*",
    "torch/include/*",
    "torch/lib/*.lib",
    "torch/share/*",
    "torch/test/*",
)
# torch starts the one, numpy.testing (which SciPy imports) imports the other.
USED = (
    "torch/bin/torch_shm_manager",
    "numpy/_core/tests/__init__.py",
    "numpy/_core/tests/_natype.py",
)
LONGEST = 120  # characters of a path; Blender's folders on Windows take up to 130 of 259
_GATHERED = "licenses/GATHERED_LICENSES.txt"  # in a wheel's folder of metadata
_LARGE = 2**24  # bytes, from which a library is compressed by LZMA
_EFFORT, _DICTIONARY = 2, 2**24  # LZMA's preset; bytes
_SIZES_FOLLOW = 0x08  # flag of an archive's file whose header lacks its sizes
_END_IS_MARKED = 0x02  # flag of a file that is compressed by LZMA
_ELF64 = b"\x7fELF\x02\x01"
_SECTIONS = ((0x28, "<Q"), (0x3C, "<H"), (0x3E, "<H"))  # offset, number, names of the sections
_PROGRAM_HEADERS = 0x20, 0x36, 0x38  # places of their offset, size and number


def slim(wheel: Path) -> Path:
    """Return a wheel of the same name without what is never used, made in the cache.

    License texts stay, those with long paths in one file. The list of files in the wheel is that of the new content.
    """
    rules = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    target = cache_folder() / "slim_wheels" / rules / wheel.name
    if not target.exists():
        with atomic_write(target) as [part]:
            _write(wheel, part)
    return target


def is_unused(name: str) -> bool:
    """Return whether a file of a wheel is left out."""
    return name not in USED and any(fnmatchcase(name, pattern) for pattern in UNUSED)


def is_gathered(name: str) -> bool:
    """Return whether a file of a wheel is a license text whose path is too long for Windows."""
    return ".dist-info/licenses/" in name and len(name) > LONGEST


def without_symbols(content: bytes) -> bytes:
    """Return a shared library of Linux without its sections, which only debuggers read.

    The loader works with the program headers. Other files are returned as they are.
    """
    if not content.startswith(_ELF64):
        return content
    offset, size, number = (
        struct.unpack_from(form, content, place)[0]
        for place, form in zip(_PROGRAM_HEADERS, ("<Q", "<H", "<H"), strict=True)
    )
    end = offset + size * number
    for index in range(number):
        start, length = struct.unpack_from("<Q16xQ", content, offset + index * size + 8)
        end = max(end, start + length)
    short = bytearray(content[:end])
    for place, form in _SECTIONS:
        struct.pack_into(form, short, place, 0)
    return bytes(short)


def _write(wheel: Path, target: Path) -> None:
    changed: dict[str, bytes] = {}
    gathered: dict[str, bytes] = {}
    with (
        zipfile.ZipFile(wheel) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as slimmed,
    ):
        used = (item for item in source.infolist() if not item.is_dir())
        for item in sorted(used, key=_is_record):  # which comes last
            if is_unused(item.filename):
                continue
            if is_gathered(item.filename):
                gathered[item.filename] = source.read(item)
            elif _is_record(item):
                if gathered:
                    name = item.filename.replace("RECORD", _GATHERED)
                    changed[name] = _gather(gathered)
                    slimmed.writestr(zipfile.ZipInfo(name), changed[name], zipfile.ZIP_DEFLATED)
                slimmed.writestr(item, _record(source.read(item), changed))
            elif item.file_size >= _LARGE and source.open(item).read(6) == _ELF64:
                content = without_symbols(source.read(item))
                changed[item.filename] = content
                _write_lzma(item, content, slimmed)
            else:
                _copy(source, item, slimmed)


def _copy(source: zipfile.ZipFile, item: zipfile.ZipInfo, target: zipfile.ZipFile) -> None:
    """Copy a file of an archive as it is compressed: to compress it again takes minutes."""
    source.fp.seek(item.header_offset + 26)
    name_length, extra_length = struct.unpack("<HH", source.fp.read(4))
    source.fp.seek(name_length + extra_length, os.SEEK_CUR)
    content = source.fp.read(item.compress_size)
    _add(copy.copy(item), content, target)


def _write_lzma(item: zipfile.ZipInfo, content: bytes, target: zipfile.ZipFile) -> None:
    """Write a file with less effort than zipfile's own, which takes three times as long."""
    new = copy.copy(item)
    new.compress_type, new.file_size = zipfile.ZIP_LZMA, len(content)
    new.CRC, new.extract_version = zlib.crc32(content), max(item.extract_version, 63)
    filters = [{"id": lzma.FILTER_LZMA1, "preset": _EFFORT, "dict_size": _DICTIONARY}]
    properties = struct.pack("<BI", 93, _DICTIONARY)  # of LZMA's default contexts
    head = struct.pack("<BBH", 9, 4, len(properties)) + properties
    packed = head + lzma.compress(content, format=lzma.FORMAT_RAW, filters=filters)
    new.compress_size, new.flag_bits = len(packed), item.flag_bits | _END_IS_MARKED
    _add(new, packed, target)


def _add(item: zipfile.ZipInfo, packed: bytes, target: zipfile.ZipFile) -> None:
    """Add a file whose content is compressed already, and whose sizes are known."""
    item.flag_bits = item.flag_bits & ~_SIZES_FOLLOW
    item.extra = b""
    item.header_offset = target.fp.tell()
    target.fp.write(item.FileHeader(zip64=False) + packed)
    target.filelist.append(item)
    target.NameToInfo[item.filename] = item
    target.start_dir = target.fp.tell()


def _is_record(item: zipfile.ZipInfo) -> bool:
    return item.filename.endswith(".dist-info/RECORD")


def _gather(texts: dict[str, bytes]) -> bytes:
    """Return one text of several, each below the path that it had."""
    return b"\n".join(
        b"%s\n%s\n\n%s\n" % (name.encode(), b"=" * len(name.encode()), text)
        for name, text in texts.items()
    )


def _record(record: bytes, changed: dict[str, bytes]) -> bytes:
    """Return a wheel's list of files for what is left of it.

    Args:
        record: of the whole wheel.
        changed: contents of files that are new or have changed, by name.
    """
    rows = {
        name: (digest, size) for name, digest, size in csv.reader(io.StringIO(record.decode()))
    }
    left = {n: row for n, row in rows.items() if not is_unused(n) and not is_gathered(n)}
    for name, content in changed.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        left[name] = f"sha256={digest}", str(len(content))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((n, *row) for n, row in left.items())
    return text.getvalue().encode()
