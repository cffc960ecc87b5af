"""Work on a stranger's file in a child process with limits, and without a pickle on the way back.

The child is started by exec, not by fork: a copy of a process in which numerical threads have
run can hang. Its standard input is a private copy of the file; its answer is one frame: eight
bytes of length, that many bytes of JSON, then raw bytes as the JSON announces. A child that
dies, is killed or takes too long is a refusal like another.
"""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from .errors import MetaprobeError
from .private import Private

LONGEST_ANSWER = 128 * 2**20
MEMORY = 2**30
"""Address space of a child beyond twice its file, in bytes."""

SECONDS = 15
"""Processor time of a child, beyond a second for each `BYTES_A_SECOND`."""

BYTES_A_SECOND = 50 * 2**20

START = (
    "import sys; sys.path.insert(0, sys.argv[2]); "
    "from importlib import import_module; import_module(sys.argv[3]).main()"
)

Answer = dict[str, Any]
Blob = bytes | memoryview
Read = TypeVar("Read")


def ask_child(
    module: str,
    job: Mapping[str, Any],
    file: Private,
    receive: Callable[[Answer, IO[bytes]], Read],
    *,
    refusal: type[MetaprobeError],
    seconds: int | None = None,
) -> Read:
    """Let a child work on a file.

    Args:
        module: The child's module; its ``main`` calls `serve`.
        job: What to do, as JSON.
        file: The private copy, which becomes its standard input.
        receive: Reads the raw bytes behind the answer's JSON. It checks sizes before it takes
            memory, and raises ValueError where they do not fit.
        refusal: The error's class.
        seconds: Processor time; None for what a file of its size may take.

    Raises:
        MetaprobeError: If the child refuses the file, or does not answer.
    """
    if seconds is None:
        seconds = seconds_for(file.size)
    job = {**job, "where": file.path, "memory": MEMORY + 2 * file.size, "seconds": seconds}
    face = sys.modules[__name__.partition(".")[0]]
    above = str(Path(str(face.__file__)).parent.parent)
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", START, json.dumps(job), above, module],
        stdin=file.copy.fileno(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"HDF5_PLUGIN_PATH": "", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        close_fds=True,
    )
    assert child.stdout is not None
    clock = threading.Timer(4 * seconds, child.kill)
    clock.start()
    try:
        length = int.from_bytes(exactly(child.stdout, 8), "little")
        if length > LONGEST_ANSWER:
            raise ValueError("an answer too long")
        answer = json.loads(exactly(child.stdout, length))
        if "refused" in answer:
            refused = answer["refused"]
            raise refusal(str(refused["sentence"]), code=str(refused["code"]))
        return receive(answer, child.stdout)
    except (EOFError, ValueError, LookupError, TypeError, RecursionError) as error:
        if isinstance(error, MetaprobeError):
            raise
        raise refusal(
            f"{file.path!r} could not be parsed within its limits ({MEMORY // 2**20} MiB beyond "
            f"twice its size, {seconds} s); it is refused",
            code="limits",
        ) from error
    finally:
        clock.cancel()
        child.stdout.close()
        child.kill()
        child.wait()


def seconds_for(size: int) -> int:
    """Processor time for so many bytes."""
    return SECONDS + size // BYTES_A_SECOND


def exactly(stream: IO[bytes], count: int) -> bytearray:
    """So many bytes of a stream.

    Raises:
        EOFError: If it ends before.
    """
    out = bytearray(count)
    rest = memoryview(out)
    while rest:
        got = stream.readinto(rest)  # type: ignore[attr-defined]
        if not got:
            raise EOFError
        rest = rest[got:]
    return out


def serve(work: Callable[[mmap.mmap, Mapping[str, Any]], tuple[Answer, Sequence[Blob]]]) -> None:
    """What a child does: limits first, then the work, then one frame.

    Args:
        work: Given the file and the job, the answer and the raw bytes behind it.
    """
    job = json.loads(sys.argv[1])
    _limit(job["memory"], job["seconds"])
    answer: Answer
    blobs: Sequence[Blob] = ()
    try:
        answer, blobs = work(mmap.mmap(0, 0, access=mmap.ACCESS_READ), job)
    except MetaprobeError as error:
        answer = _refused(error.code, str(error))
    except MemoryError:
        answer = _refused(
            "too-large", f"{job['where']!r} asks for more memory than a file of its size may"
        )
    except Exception as error:
        answer = _refused("internal", f"{job['where']!r} cannot be parsed ({type(error).__name__})")
    text = json.dumps(answer, allow_nan=False).encode("ascii")
    out = sys.stdout.buffer
    out.write(len(text).to_bytes(8, "little") + text)
    for blob in blobs:
        out.write(blob)
    out.flush()


def _refused(code: str, sentence: str) -> Answer:
    return {"refused": {"code": code, "sentence": sentence[:2000]}}


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
