"""What runs in the child: one file is parsed under limits, and the answer goes to a pipe.

The file is standard input, a private copy that nobody else can change. The answer is one
frame: eight bytes of length, that many bytes of JSON, then the values of each tensor in the
order of the JSON. It is never a pickle. PyTorch is not imported.
"""

from __future__ import annotations

import json
import mmap
import sys
from contextlib import suppress
from typing import IO, Any

from ...data.errors import MetaprobeError
from ...data.unpickle_plain import filled_arrays
from .archive import Parsed, read_archive
from .choose import Choice, choose
from .header import read_header
from .legacy import read_legacy
from .views import Storage, View, contiguous_strides, refuse_too_much


def main() -> None:
    """Parse standard input as the JSON in the first argument says."""
    job = json.loads(sys.argv[1])
    _limit(job["memory"], job["seconds"])
    try:
        content = mmap.mmap(0, 0, access=mmap.ACCESS_READ)
        send(parse(content, job["kind"], job["state_key"], job["where"]), sys.stdout.buffer)
    except MetaprobeError as error:
        refuse(error.code, str(error))
    except MemoryError:
        refuse("too-large", f"{job['where']!r} asks for more memory than a file of its size may")
    except Exception as error:
        refuse("internal", f"{job['where']!r} cannot be parsed ({type(error).__name__})")


def parse(
    content: mmap.mmap | bytes, kind: str, state_key: str | None, where: str
) -> tuple[dict[str, Any], list[memoryview | bytes]]:
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
        }
        for n, v in choice.tensors.items()
    ]
    if len(tensors) > 10_000:
        flags["many-tensors"] = f"holds {len(tensors):,} tensors"
    answer = {
        "tensors": tensors,
        "candidates": choice.candidates,
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


def send(answer: tuple[dict[str, Any], list[memoryview | bytes]], out: IO[bytes]) -> None:
    """Write one frame."""
    text = json.dumps(answer[0], allow_nan=False).encode("ascii")
    out.write(len(text).to_bytes(8, "little") + text)
    for values in answer[1]:
        out.write(values)
    out.flush()


def refuse(code: str, sentence: str) -> None:
    """Answer with a refusal."""
    send(({"refused": {"code": code, "sentence": sentence[:2000]}}, []), sys.stdout.buffer)


def _limit(memory: int, seconds: int) -> None:
    """Memory, processor time, no files, no core: as far as the system lets them be set."""
    import resource

    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))
