"""What runs in the child: one file is parsed, and its tensors leave as plain bytes.

PyTorch is not imported, and NumPy only for a tensor whose values do not lie in their order.
"""

from __future__ import annotations

import mmap
from typing import Any

from ...data.confined import Blob, serve
from ...data.unpickle_plain import filled_arrays
from .archive import Parsed, read_archive
from .choose import Choice, choose
from .header import read_header
from .legacy import read_legacy
from .views import Storage, View, contiguous_strides, refuse_too_much

MOST_CANDIDATES = 1000
LONGEST_PATH = 1000


def main() -> None:
    """Parse standard input as the job says."""
    serve(lambda content, job: parse(content, job["kind"], job["state_key"], job["where"]))


def parse(
    content: mmap.mmap | bytes, kind: str, state_key: str | None, where: str
) -> tuple[dict[str, Any], list[Blob]]:
    """The answer's JSON and the values of its tensors.

    Args:
        content: The file.
        kind: ``"safetensors"``, ``"torch-zip"`` or ``"torch-legacy"``.
        state_key: As for `choose`.
        where: What to call the file in an error.

    Raises:
        MetaprobeError: If it is damaged, hostile or holds no weights.
    """
    if kind == "safetensors":
        choice, records, flags = _safetensors(content, state_key, where)
    else:
        parsed = (
            read_archive(content, where) if kind == "torch-zip" else read_legacy(content, where)
        )
        refuse_too_much(parsed.reader.views, len(content), where)
        choice = choose(filled_arrays(parsed.value), state_key, where)
        records, flags = parsed.records, _noticed(parsed)
    tensors = [
        {
            "name": n,
            "dtype": v.dtype,
            "shape": list(v.shape),
            "bytes": v.nbytes,
            "storage": v.storage.key,
            "offset": v.offset,
            "stride": list(v.stride),
        }
        for n, v in choice.tensors.items()
    ]
    if len(tensors) > 10_000:
        flags["many-tensors"] = f"holds {len(tensors):,} tensors"
    answer = {
        "tensors": tensors,
        "candidates": [name[:LONGEST_PATH] for name in choice.candidates[:MOST_CANDIDATES]],
        "chosen": choice.chosen,
        "why": choice.why,
        "metadata": choice.metadata,
        "flags": {**flags, **choice.flags},
    }
    return answer, [v.values(records[v.storage.key]) for v in choice.tensors.values()]


def _safetensors(
    content: mmap.mmap | bytes, state_key: str | None, where: str
) -> tuple[Choice, dict[str, memoryview], dict[str, str]]:
    raw = memoryview(content)
    entries, words = read_header(raw, where)
    views, records = {}, {}
    for name, entry in entries.items():
        records[name] = raw[entry.start : entry.end]
        storage = Storage(name, entry.end - entry.start)
        steps = contiguous_strides(entry.shape)
        views[name] = View(storage, entry.dtype, entry.shape, steps, 0)
    choice = choose(views, state_key, where)
    return Choice(**{**vars(choice), "metadata": dict(words)}), records, {}


def _noticed(parsed: Parsed) -> dict[str, str]:
    flags = dict(parsed.reader.flags)
    if parsed.cyclic:
        flags["cycle"] = "holds a container that contains itself"
    if parsed.opaque:
        named = ", ".join(sorted(parsed.opaque)[:4])
        flags["opaque-settings"] = f"carries settings of {named}, which were kept as words"
    return flags
