"""What a file is, from its first bytes; its name is only compared, not believed.

Most files that are no checkpoints were meant to be one: a page saved in place of a download,
a pointer that Git LFS did not follow, an archive that was not unpacked. Each gets its own
sentence with what to do.
"""

from __future__ import annotations

from ...data.errors import CheckpointError

LEGACY_MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19"

BY_START: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "lfs", "is a Git LFS pointer, not the file it stands for; run `git lfs pull`"),
    (b"\x89HDF", "hdf5", "is an HDF5 file; weights in HDF5 are not read, arrays in it can be given as --data"),
    (b"\x93NUMPY", "npy", "is one NumPy array; weights are read from safetensors and PyTorch files"),
    (b"\x1f\x8b", "compressed", "is compressed with gzip; unpack it first"),
    (b"BZh", "compressed", "is compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed", "is compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed", "is compressed with zstd; unpack it first"),
    (b"7z\xbc\xaf", "compressed", "is a 7z archive; unpack it first"),
    (b"Rar!", "compressed", "is a RAR archive; unpack it first"),
    (b"GGUF", "gguf", "is a GGUF file of a quantised language model; that is not read"),
    (b"\x89PNG", "image", "is an image; give a folder of images as --data"),
    (b"\xff\xd8\xff", "image", "is an image; give a folder of images as --data"),
    (b"%PDF", "document", "is a PDF document, not a checkpoint"),
    (b"\x7fELF", "program", "is a program, not a checkpoint"),
    (b"MZ", "program", "is a program, not a checkpoint"),
)  # fmt: skip

HTML = (b"<!doctype html", b"<html", b"<head", b"<?xml", b"<body", b"<error", b"<title")


def sniff(head: bytes, size: int, path: str) -> str:
    """The container a file is: ``safetensors``, ``torch-zip``, ``torch-legacy`` or ``pickle``.

    Args:
        head: Its first bytes, up to 8192.
        size: Its length.
        path: What to call it in an error; its ending tells damaged from foreign.

    Raises:
        CheckpointError: If it is something else.

    >>> sniff(b"PK\\3\\4 and so on", 2000, "a.safetensors")
    'torch-zip'
    """
    if not size:
        raise _no(path, "is empty (0 bytes); the download or the copy failed", "empty")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(HTML):
        raise _no(
            path,
            "is a web page that was saved in place of a checkpoint (a login, an error or a quota "
            "page); download it again and look at its size",
            "html",
        )
    for start, code, sentence in BY_START:
        if head.startswith(start):
            raise _no(path, sentence, code)
    if head.startswith(b"PK\x03\x04"):
        return "torch-zip"
    if head[257:262] == b"ustar":
        raise _no(
            path,
            "is a tar archive; unpack it yourself and give the file within (PyTorch's own tar "
            "format of 2016 is not read)",
            "tar",
        )
    if LEGACY_MAGIC in head[:32]:
        return "torch-legacy"
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length < 2**40:
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return "pickle"
    if _is_text(text):
        what = "JSON text" if text[:1] in b"{[" else "plain text (YAML, a script or a list)"
        raise _no(
            path,
            f"is {what}, not weights; nothing in it is followed, so give the file or the model "
            "folder that holds the weights",
            "text",
        )
    if path.endswith(".safetensors"):
        return "safetensors"  # damaged at its start: its reader says how
    raise _no(
        path,
        "is of no known format; .safetensors files, files of `torch.save` and model folders are "
        "read",
        "unknown-format",
    )


def _is_text(head: bytes) -> bool:
    sample = head[:2048]
    return bool(sample) and all(b >= 32 or b in b"\t\r\n\f" for b in sample) and _decodes(sample)


def _decodes(sample: bytes) -> bool:
    try:
        sample[:-4].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def expected_ending(kind: str) -> tuple[str, ...]:
    """Endings of names that fit a container."""
    if kind == "safetensors":
        return (".safetensors",)
    return (".pt", ".pth", ".bin", ".ckpt", ".tar", ".model", ".pkl", ".t7", ".th")


def _no(path: str, sentence: str, code: str) -> CheckpointError:
    return CheckpointError(f"{path!r} {sentence}", code=code)
