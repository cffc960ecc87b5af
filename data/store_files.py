"""How bytes reach the disk: whole or not at all, and still there after a power cut.

    temporary file (new, same folder) → write → fsync → rename or link → fsync of the folder

Nothing is ever modified in place, so a reader needs no lock and a killed writer leaves at worst
a temporary file. A bare rename is not enough: without the two fsyncs a power cut leaves files
of length zero under their final names.

Every system call of the store goes through `Files.call`. Tests subclass `Files`, fail the n-th
call for n = 1, 2, 3 …, and look at what is left.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from .errors import StoreError

P = ParamSpec("P")
T = TypeVar("T")
Buffer = bytes | memoryview

TEMPORARY = ".tmp-"
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not block us
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP}
_DAMAGE = {errno.EIO, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.EBADMSG}


class Files:
    """The store's only way to the disk. Holds nothing."""

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Makes one system call."""
        return function(*args, **kwargs)

    def read(self, path: Path, size: int | None = None) -> bytes:
        """The file's bytes; of a file that grew past ``size``, one byte more than that."""
        file = self.call(os.open, path, _READ)
        try:
            most = 1 + (self.call(os.fstat, file).st_size if size is None else size)
            parts: list[bytes] = []
            while rest := most - sum(map(len, parts)):
                part = self.call(os.read, file, rest)
                if not part:
                    break
                parts.append(part)
        finally:
            os.close(file)
        return b"".join(parts)

    def publish(self, path: Path, data: Buffer, *, first_wins: bool = False) -> None:
        """Makes ``data`` appear at ``path``; durable once `sync` has run on the folder.

        Args:
            first_wins: Leave a file that is already there. Exact where the filesystem has hard
                links; elsewhere the last one wins, which is as whole.
        """
        temporary = path.with_name(TEMPORARY + secrets.token_hex(8))
        try:
            self._write(temporary, data)
            if first_wins and self._link(temporary, path):
                self.call(os.unlink, temporary)
            else:
                self.call(os.replace, temporary, path)
        except BaseException:
            with suppress(OSError):
                self.call(os.unlink, temporary)
            raise

    def ensure(self, path: Path, data: Buffer) -> None:
        """Publishes ``data`` at ``path`` unless it is there already."""
        with suppress(FileNotFoundError):
            if self.read(path, len(data)) == data:
                return
        self.publish(path, data)

    def sync(self, folder: Path) -> None:
        """Makes the names in ``folder`` durable."""
        file = self.call(os.open, folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.call(os.fsync, file)
        except OSError as error:  # some network filesystems cannot, and do it at the rename
            if error.errno not in _NO_FOLDER_SYNC:
                raise
        finally:
            os.close(file)

    def make_folder(self, path: Path) -> None:
        """Makes ``path`` and its missing parents, durably."""
        if not path.parent.is_dir():
            self.make_folder(path.parent)
        try:
            self.call(os.mkdir, path)
        except FileExistsError:
            if not path.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
        else:
            self.sync(path.parent)

    def names(self, folder: Path) -> list[str]:
        """What lies in ``folder``, sorted; nothing where there is no folder."""
        try:
            return sorted(self.call(os.listdir, folder))
        except FileNotFoundError:
            return []

    def _write(self, path: Path, data: Buffer) -> None:
        file = self.call(os.open, path, _CREATE, 0o666)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self.call(os.write, file, rest) :]
            self.call(os.fsync, file)
        finally:
            os.close(file)

    def _link(self, temporary: Path, path: Path) -> bool:
        try:
            self.call(os.link, temporary, path)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return False
        return True


def is_damage(error: OSError) -> bool:
    """Whether a failed read blames the file, not the moment (no memory, no right to read)."""
    return error.errno in _DAMAGE


@contextmanager
def in_words(root: Path) -> Iterator[None]:
    """Turns an `OSError` about the store at ``root`` into a `StoreError` of one sentence."""
    try:
        yield
    except OSError as error:
        code, advice = _ADVICE.get(error.errno or 0, ("disk", _OTHER))
        raise StoreError(
            f"the store at {root} cannot be used ({error.strerror or error}); {advice}", code=code
        ) from error


_OTHER = "name another folder with $METAPROBE_CACHE, or go on without a store"
_FULL = ("disk-full", "free some space; what it holds is intact")
_READ_ONLY = ("read-only", _OTHER)
_NO_FOLDER = ("not-a-folder", f"it must be a folder: {_OTHER}")
_VANISHED = ("vanished", "it was removed meanwhile: try again")
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FULL),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), _READ_ONLY),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST, errno.ELOOP), _NO_FOLDER),
    **dict.fromkeys((errno.ENOENT, errno.ESTALE), _VANISHED),
}
