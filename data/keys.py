"""A key says everything an embedding depends on; its hash names the entry in the store.

    hash = SHA-256("metaprobe-key-v1" + zero byte + canonical JSON of the key)

Canonical JSON is UTF-8 with sorted keys, no spaces and no NaN, so equal keys give equal bytes
in every process and on every machine. What JSON cannot hold is refused: a pickled, printed or
random stand-in would give a key that never hits, or one that hits when it must not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from hashlib import sha256

from .errors import StoreError

_TAG = b"metaprobe-key-v1\0"
_DEEPEST = 64


def canonical_json(value: object) -> bytes:
    """The one way to write ``value`` as JSON.

    Args:
        value: None, bool, int, finite float, str, and lists, tuples and string-keyed mappings of
            them. ``1``, ``1.0`` and ``True`` stay three different values.

    Raises:
        StoreError: If any part is something else; the sentence names that part.

    >>> canonical_json({"steps": 5, "layer": "conv4", "mean": (0.5, 0.25)})
    b'{"layer":"conv4","mean":[0.5,0.25],"steps":5}'
    """
    plain = _plain(value, "key", depth=0)
    text = json.dumps(
        plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def key_hash(key: Mapping[str, object]) -> str:
    """The name of the entry for ``key``: 64 hexadecimal digits.

    Raises:
        StoreError: If the key has a part that JSON cannot hold.
    """
    return json_hash(canonical_json(key))


def json_hash(data: bytes) -> str:
    """`key_hash` of a key that is canonical JSON already."""
    return sha256(_TAG + data).hexdigest()


def _plain(value: object, where: str, *, depth: int) -> object:
    if depth > _DEEPEST:
        raise StoreError(f"{where[:80]}… is nested deeper than {_DEEPEST}; flatten it", code="key")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, str):
        return _unicode(value, where)
    if isinstance(value, list | tuple):
        return [_plain(v, f"{where}[{i}]", depth=depth + 1) for i, v in enumerate(value)]
    if isinstance(value, Mapping):
        return {
            _name(k, where): _plain(v, f"{where}.{k}", depth=depth + 1) for k, v in value.items()
        }
    what = repr(value) if isinstance(value, float) else f"a {type(value).__qualname__}"
    raise StoreError(
        f"{where} is {what}; a key holds None, bool, int, finite float, str, lists and mappings: "
        "convert it, or give its hash instead",
        code="key",
    )


def _name(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise StoreError(
            f"{where} has the name {key!r}; names in a key are strings, since JSON would "
            'take 1 and "1" for one name',
            code="key",
        )
    return _unicode(key, where)


def _unicode(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise StoreError(
            f"{where} holds {text!r}, which is not valid Unicode; give its hash instead",
            code="key",
        ) from error
    return str(text)
