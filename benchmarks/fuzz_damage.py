"""Ways to damage a file: at random, and as somebody with bad intent would."""

import io
import random
import zipfile
from collections.abc import Callable

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_WORDS = (b"cpu", b"cuda:0", b"weight", b"cat/", b"label", b"images", b"shape", b"data_offsets", b"F32")
_HOSTILE = (
    b"../../../x",
    b"/etc/passwd",
    b"<script>",
    b"\x00",
    b"A" * 300,
    b"\xff\xfe",
    b"%s%n",
    b"[" * 200,
    b'{"a":' * 60,
)


def _harmful(marker: str) -> tuple[bytes, ...]:
    """Instructions of pickle that, if they were followed, would create the file `marker`."""
    command = f"touch {marker}".encode()
    argument = b"X" + len(command).to_bytes(4, "little") + command
    opened = b"X" + len(marker).to_bytes(4, "little") + marker.encode() + b"X\x01\x00\x00\x00w\x86R"
    calls = (b"cos\nsystem\n", b"cposix\nsystem\n", b"csubprocess\ngetoutput\n", b"c__builtin__\neval\n")
    return (*(call + argument + b"\x85R" for call in calls), b"cio\nopen\n" + opened, b"cbuiltins\nopen\n" + opened)


def damaged(content: bytes, others: list[bytes], marker: str, chance: random.Random) -> bytes:
    """One damaged version of a file.

    Args:
        content: the good file.
        others: good files of other kinds, of which parts are mixed in.
        marker: a file that harmful instructions in it would create.
        chance: says what is done where.
    """
    if zipfile.is_zipfile(io.BytesIO(content)) and chance.random() < 0.6:
        inner = _inside(content, others, marker, chance)
        if inner is not None:
            return inner
    return _several(content, others, marker, chance)


def _several(content: bytes, others: list[bytes], marker: str, chance: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        chance.choice(_WAYS)(found, others, marker, chance)
    return bytes(found)


def _inside(content: bytes, others: list[bytes], marker: str, chance: random.Random) -> bytes | None:
    """Damage one member and pack the archive again, so that the damage lies behind correct checksums."""
    made = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info, archive.read(info)) for info in archive.infolist()]
    except (zipfile.BadZipFile, OSError, ValueError):
        return None
    # The descriptions, rather than one of many members with numbers.
    described = [place for place, (info, _) in enumerate(members) if info.filename.endswith((".pkl", ".json", ".csv"))]
    hit = chance.choice(described) if described and chance.random() < 0.7 else chance.randrange(len(members))
    with zipfile.ZipFile(made, "w") as archive:
        for place, (info, inner) in enumerate(members):
            name = info.filename
            if place != hit:
                archive.writestr(zipfile.ZipInfo(name), inner)
                continue
            if chance.random() < 0.1:
                name = chance.choice(("../" + name, "/" + name, name + "\\..\\x", "", name * 40))
            archive.writestr(zipfile.ZipInfo(name), _several(inner, others, marker, chance))
    return made.getvalue()


def _flip(found: bytearray, _others: list[bytes], _marker: str, chance: random.Random) -> None:
    if found:
        found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)


def _overwrite(found: bytearray, _others: list[bytes], _marker: str, chance: random.Random) -> None:
    at = chance.randrange(len(found) + 1)
    found[at : at + chance.choice((1, 2, 4, 8, 64))] = chance.randbytes(chance.choice((1, 2, 4, 8, 64)))


def _number(found: bytearray, _others: list[bytes], _marker: str, chance: random.Random) -> None:
    size = chance.choice((1, 2, 4, 8))
    value = chance.choice(_NUMBERS) % (1 << (8 * size))
    at = chance.randrange(len(found) + 1)
    found[at : at + size] = value.to_bytes(size, chance.choice(("little", "big")))


def _digits(found: bytearray, _others: list[bytes], _marker: str, chance: random.Random) -> None:
    """Change a number that is written in digits, as in JSON."""
    places = [place for place, byte in enumerate(found[:20_000]) if 0x30 <= byte <= 0x39]
    if places:
        at = chance.choice(places)
        found[at : at + 1] = chance.choice((b"-1", b"999999999999", b"0", b"1e999", b"9" * 30))


def _cut(found: bytearray, _others: list[bytes], _marker: str, chance: random.Random) -> None:
    del found[chance.randrange(len(found) + 1) :]


def _remove(found: bytearray, _others: list[bytes], _marker: str, chance: random.Random) -> None:
    at = chance.randrange(len(found) + 1)
    del found[at : at + chance.choice((1, 4, 32, 256))]


def _repeat(found: bytearray, _others: list[bytes], _marker: str, chance: random.Random) -> None:
    at = chance.randrange(len(found) + 1)
    found[at:at] = found[at : at + chance.choice((1, 16, 128))] * chance.choice((1, 3, 100))


def _insert(found: bytearray, _others: list[bytes], _marker: str, chance: random.Random) -> None:
    at = chance.randrange(len(found) + 1)
    found[at:at] = chance.choice((*_HOSTILE, *_WORDS))


def _splice(found: bytearray, others: list[bytes], _marker: str, chance: random.Random) -> None:
    other = chance.choice(others)
    at, of = chance.randrange(len(found) + 1), chance.randrange(len(other) + 1)
    found[at:] = other[of : of + 4096]


def _harm(found: bytearray, _others: list[bytes], marker: str, chance: random.Random) -> None:
    """Put harmful instructions where a pickle could follow them: after its first bytes, or anywhere."""
    at = chance.choice((2, chance.randrange(len(found) + 1)))
    found[at:at] = chance.choice(_harmful(marker)) + chance.choice((b"", b"0"))


_WAYS: tuple[Callable[[bytearray, list[bytes], str, random.Random], None], ...] = (
    _flip,
    _flip,
    _overwrite,
    _number,
    _number,
    _digits,
    _cut,
    _remove,
    _repeat,
    _insert,
    _splice,
    _harm,
)
