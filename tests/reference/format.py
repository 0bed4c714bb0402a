"""The formats of JSON Schema, each told by hand or by the standard library, and no two lines of it a regular expression
of the engine's."""

from __future__ import annotations

import datetime
import ipaddress
import re
import string
import uuid
from collections.abc import Callable

DIGITS = frozenset(string.digits)
HEX = frozenset(string.hexdigits)
LETTERS_DIGITS = frozenset(string.ascii_letters + string.digits)
SUB_DELIMS = frozenset("!$&'()*+,;=")
UNRESERVED = LETTERS_DIGITS | frozenset("-._~")


def number(text: str, n: int, least: int, most: int) -> bool:
    return len(text) == n and set(text) <= DIGITS and least <= int(text) <= most


def is_date(text: str) -> bool:
    parts = text.split("-")
    if [len(part) for part in parts] != [4, 2, 2] or not all(set(part) <= DIGITS for part in parts):
        return False
    year, month, day = map(int, parts)
    try:
        datetime.date(year or 400, month, day)  # The library has no year 0, which is a leap year as 400 is.
    except ValueError:
        return False
    return True


def is_time(text: str) -> bool:
    if text[-1:] in ("Z", "z"):
        clock, offset = text[:-1], 0
    else:
        clock, sign, zone = text[:-6], text[-6:-5], text[-5:]
        if sign not in ("+", "-") or zone[2:3] != ":" or not number(zone[:2], 2, 0, 23):
            return False
        if not number(zone[3:], 2, 0, 59):
            return False
        offset = (int(zone[:2]) * 60 + int(zone[3:])) * (1 if sign == "+" else -1)
    whole, point, fraction = clock.partition(".")
    if point and not (fraction and set(fraction) <= DIGITS):
        return False
    parts = whole.split(":")
    if len(parts) != 3 or not all(number(part, 2, 0, most) for part, most in zip(parts, (23, 59, 60), strict=True)):
        return False
    hour, minute, second = map(int, parts)
    return second < 60 or (hour * 60 + minute - offset) % 1440 == 23 * 60 + 59


def is_date_time(text: str) -> bool:
    return len(text) > 10 and text[10] in "Tt" and is_date(text[:10]) and is_time(text[11:])


def units(text: str, letters: str) -> bool:
    """Numbers, each with its unit, units next to each other in their order."""
    found, digits = "", ""
    for c in text:
        if c in DIGITS:
            digits += c
        elif digits and c in letters:
            found, digits = found + c, ""
        else:
            return False
    return not digits and bool(found) and found in letters


def is_duration(text: str) -> bool:
    if text[:1] != "P":
        return False
    date, t, time = text[1:].partition("T")
    if date.endswith("W"):
        return not t and units(date, "W")
    return (units(date, "YMD") if date else bool(t)) and (units(time, "HMS") if t else True)


def is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return text.isascii()


def is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text and text.isascii()


def is_label(text: str, letters: Callable[[str], bool] = LETTERS_DIGITS.__contains__) -> bool:
    ends = bool(text) and letters(text[0]) and letters(text[-1])
    return ends and all(letters(c) or c == "-" for c in text)


def is_hostname(text: str) -> bool:
    """Without names that are Punycode, or look so."""
    labels = text.split(".")
    is_plain = all(is_label(label) and len(label) <= 63 and label[2:4] != "--" for label in labels)
    return len(text) <= 253 and is_plain


def is_mailbox(text: str, beyond: bool) -> bool:
    def letter(c: str) -> bool:
        return c in LETTERS_DIGITS or (beyond and ord(c) > 127)

    local, at, domain = text.rpartition("@")
    if domain.endswith("]"):
        local, at, domain = text.rpartition("@[")
        address = domain[:-1]
        is_literal = is_ipv6(address[5:]) if address[:5].lower() == "ipv6:" else is_ipv4(address)
        if not is_literal:
            return False
    elif not all(is_label(label, letter) and (beyond or len(label) <= 63) for label in domain.split(".")):
        return False
    if not at:
        return False
    if local[:1] == '"':
        if len(local) < 2 or local[-1] != '"':
            return False
        inside, escaped = local[1:-1], False
        for c in inside:
            if escaped:
                if not " " <= c <= "~":
                    return False
                escaped = False
            elif c == "\\":
                escaped = True
            elif c == '"' or not (" " <= c <= "~" or (beyond and ord(c) > 127)):
                return False
        return not escaped
    atoms = local.split(".")
    return all(atom and all(letter(c) or c in "!#$%&'*+-/=?^_`{|}~" for c in atom) for atom in atoms)


UCSCHAR = [(0xA0, 0xD7FF), (0xF900, 0xFDCF), (0xFDF0, 0xFFEF), (0xE1000, 0xEFFFD)] + [
    (plane << 16, plane << 16 | 0xFFFD) for plane in range(1, 14)
]
IPRIVATE = [(0xE000, 0xF8FF), (0xF0000, 0xFFFFD), (0x100000, 0x10FFFD)]


def is_one_of(c: str, ranges: list[tuple[int, int]]) -> bool:
    return any(low <= ord(c) <= high for low, high in ranges)


def is_written(text: str, more: str, beyond: bool, private: bool = False) -> bool:
    """Of unreserved characters, sub-delims, `more`, and octets in percent."""
    at = 0
    while at < len(text):
        c = text[at]
        if c == "%":
            if len(text) < at + 3 or not set(text[at + 1 : at + 3]) <= HEX:
                return False
            at += 3
            continue
        is_in = c in UNRESERVED or c in SUB_DELIMS or c in more
        is_in = is_in or (beyond and is_one_of(c, UCSCHAR)) or (private and is_one_of(c, IPRIVATE))
        if not is_in:
            return False
        at += 1
    return True


def is_authority(text: str, beyond: bool) -> bool:
    user, at, host = text.rpartition("@")
    if at and not is_written(user, ":", beyond):
        return False
    if host[:1] == "[":
        inside, bracket, port = host[1:].partition("]")
        if not bracket or port[:1] not in ("", ":") or not set(port[1:]) <= DIGITS:
            return False
        if inside[:1] in ("v", "V"):
            version, point, rest = inside[1:].partition(".")
            is_plain = bool(rest) and set(rest) <= UNRESERVED | SUB_DELIMS | {":"}
            return bool(version) and set(version) <= HEX and bool(point) and is_plain
        return is_ipv6(inside)
    name, colon, port = host.partition(":")
    return is_written(name, "", beyond) and (not colon or set(port) <= DIGITS)


def is_uri(text: str, beyond: bool = False, relative: bool = False) -> bool:
    """RFC 3986, appendix B, then each part for itself."""
    rest, mark, fragment = text.partition("#")
    if mark and not is_written(fragment, ":@/?", beyond):
        return False
    rest, mark, query = rest.partition("?")
    if mark and not is_written(query, ":@/?", beyond, beyond):
        return False
    scheme, colon, path = rest.partition(":")
    is_scheme = scheme[:1] in set(string.ascii_letters) and set(scheme) <= LETTERS_DIGITS | set("+-.")
    if not (colon and scheme and is_scheme):
        if not relative or ":" in rest.partition("/")[0]:
            return False
        path = rest
    if path.startswith("//"):
        authority, _slash, path = path[2:].partition("/")
        return is_authority(authority, beyond) and is_written(path, ":@/", beyond)
    return is_written(path, ":@/", beyond)


def is_uri_template(text: str) -> bool:
    def is_name(name: str) -> bool:
        plain = re.sub("%[0-9A-Fa-f]{2}", "_", name, flags=re.ASCII)
        return all(part and set(part) <= LETTERS_DIGITS | {"_"} for part in plain.split("."))

    def is_variable(variable: str) -> bool:
        if variable.endswith("*"):
            return is_name(variable[:-1])
        name, colon, length = variable.partition(":")
        is_length = 1 <= len(length) <= 4 and set(length) <= DIGITS and length[0] != "0"
        return is_name(name) and (not colon or is_length)

    outside = set(' "<>\\^`{|}') | {chr(c) for c in range(32)} | {"\x7f"}
    at = 0
    while at < len(text):
        c = text[at]
        if c == "{":
            end = text.find("}", at)
            inside = text[at + 1 : end]
            if end < 0 or not all(map(is_variable, inside[inside[:1] in set("+#./;?&=,!@|") :].split(","))):
                return False
            at = end + 1
        elif c == "%":
            if len(text) < at + 3 or not set(text[at + 1 : at + 3]) <= HEX:
                return False
            at += 3
        elif c in outside or not (c.isascii() or is_one_of(c, UCSCHAR) or is_one_of(c, IPRIVATE)):
            return False
        else:
            at += 1
    return True


def is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def is_json_pointer(text: str) -> bool:
    return (not text or text[0] == "/") and all(rest[:1] in ("0", "1") for rest in text.split("~")[1:])


def is_relative_json_pointer(text: str) -> bool:
    prefix = text[: len(text) - len(text.lstrip(string.digits))]
    rest = text[len(prefix) :]
    return bool(prefix) and (prefix == "0" or prefix[0] != "0") and (rest == "#" or is_json_pointer(rest))


JUDGES: dict[str, Callable[[str], bool]] = {
    "date": is_date,
    "time": is_time,
    "date-time": is_date_time,
    "duration": is_duration,
    "email": lambda text: is_mailbox(text, False),
    "idn-email": lambda text: is_mailbox(text, True),
    "hostname": is_hostname,
    "ipv4": is_ipv4,
    "ipv6": is_ipv6,
    "uri": is_uri,
    "uri-reference": lambda text: is_uri(text, relative=True),
    "iri": lambda text: is_uri(text, beyond=True),
    "iri-reference": lambda text: is_uri(text, beyond=True, relative=True),
    "uri-template": is_uri_template,
    "uuid": is_uuid,
    "json-pointer": is_json_pointer,
    "relative-json-pointer": is_relative_json_pointer,
}
