"""The store under kills, power cuts, full disks, bad sectors and flipped bits.

The loop is SQLite's: run an operation with the fault at its 1st, 2nd, 3rd … system call until a
run meets no fault, and look at what is left each time.
"""

import errno
import os
import random
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from metaprobe.data.embeddings import Embeddings
from metaprobe.data.errors import StoreError
from metaprobe.data.keys import key_hash
from metaprobe.data.store import Store
from metaprobe.data.store_files import TEMPORARY, Files
from metaprobe.data.store_format import join
from metaprobe.data.store_prune import prune
from metaprobe.data.store_verify import verify

OLD, NEW, LONG, HURT = ({"entry": name} for name in ("old", "new", "long", "hurt"))


def rows(seed: int, n: int = 6) -> Embeddings:
    rng = np.random.default_rng(seed)
    ids = np.array([f"{seed}/{i}" for i in range(n)], dtype=np.str_)
    return Embeddings(rng.normal(size=(n, 4)).astype(np.float32), ids, np.arange(n))


BLOCKS = [rows(10), rows(11), rows(12)]
TRUTH = {"old": rows(1), "new": rows(2), "hurt": rows(3), "long": join(BLOCKS)}


def same(one: Embeddings | None, other: Embeddings) -> bool:
    return (
        one is not None
        and one.features.tobytes() == other.features.tobytes()
        and list(one.ids) == list(other.ids)
        and list(one.labels) == list(other.labels)
    )


def held(store: Store, key: dict[str, str]) -> bool:
    """Whether the entry is there; if it is, it must be right."""
    got = store.get(key)
    assert got is None or same(got, TRUTH[key["entry"]])
    return got is not None


class NoSync(Files):
    """Does not wait for the disk: a kill spares what the kernel holds."""

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return None if function is os.fsync else function(*args, **kwargs)


# A fault at every system call


class Killed(BaseException):
    """The process is gone: nobody may catch this, and no call comes after it."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong at a system call that ``touches``, and whether it then stays so."""

    name: str
    touches: Callable[..., bool]
    happen: Callable[..., Any]
    lasts: bool = False


@dataclass
class Faulty(NoSync):
    """Lets ``fault`` happen at the ``n``-th system call it touches."""

    fault: Fault
    n: int
    dead: bool = False

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.dead:
            raise Killed
        if not self.fault.touches(function, *args):
            return super().call(function, *args, **kwargs)
        self.n -= 1
        if self.n == 0 or (self.n < 0 and self.fault.lasts):
            return self.fault.happen(self, function, *args)
        return super().call(function, *args, **kwargs)

    @property
    def met(self) -> bool:
        return self.n <= 0


def die(files: Faulty, *_: Any) -> None:
    files.dead = True
    raise Killed


def tear(files: Faulty, function: Callable[..., Any], file: int, data: memoryview) -> None:
    os.write(file, data[: len(data) // 2])
    die(files)


def write_a_third(files: Faulty, function: Callable[..., Any], file: int, data: memoryview) -> int:
    return os.write(file, data[: len(data) // 3 + 1])


def refuse(number: int) -> Callable[..., None]:
    def happen(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    return happen


def creates(function: Callable[..., Any], *args: Any) -> bool:
    return function is os.open and bool(args[1] & os.O_CREAT)


def grows(function: Callable[..., Any], *args: Any) -> bool:
    named = (os.write, os.mkdir, os.link, os.replace, os.rename, os.fsync)
    return function in named or creates(function, *args)


def changes(function: Callable[..., Any], *args: Any) -> bool:
    named = (os.mkdir, os.link, os.replace, os.rename, os.unlink, os.rmdir, os.utime)
    return function in named or creates(function, *args)


def anything(function: Callable[..., Any], *args: Any) -> bool:
    return True


def only(wanted: Callable[..., Any]) -> Callable[..., bool]:
    return lambda function, *_: function is wanted


KILL = Fault("kill", anything, die)
TORN = Fault("torn write", only(os.write), tear)
FULL = Fault("disk full", grows, refuse(errno.ENOSPC), lasts=True)
READ_ONLY = Fault("read-only", changes, refuse(errno.EROFS), lasts=True)
BAD_SECTOR = Fault("bad sector", anything, refuse(errno.EIO))
SHORT = Fault("short write", only(os.write), write_a_third)
NO_LINKS = Fault("no hard links", only(os.link), refuse(errno.EPERM), lasts=True)
FAULTS = [KILL, TORN, FULL, READ_ONLY, BAD_SECTOR, SHORT, NO_LINKS]


def put_new(store: Store) -> None:
    store.put(NEW, TRUTH["new"])


def write_long(store: Store) -> None:
    with store.writer(LONG, rows=18) as writer:
        for block in BLOCKS[writer.done // 6 :]:
            writer.append(block)


def replace_hurt(store: Store) -> None:
    held(store, HURT)
    store.put(HURT, TRUTH["hurt"])


def read_old(store: Store) -> None:
    held(store, OLD)


def prune_all(store: Store) -> None:
    prune(store, max_bytes=0, dry_run=False)


OPERATIONS: dict[Callable[[Store], None], dict[str, str]] = {
    put_new: NEW,
    write_long: LONG,
    replace_hurt: HURT,
    read_old: OLD,
    prune_all: OLD,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a good entry and a damaged one."""
    root = tmp_path_factory.mktemp("prepared") / "store"
    store = Store(root, NoSync())
    store.put(OLD, TRUTH["old"])
    store.put(HURT, TRUTH["hurt"])
    (shard,) = store.entry(key_hash(HURT)).folder.glob("s-*.h5")
    shard.write_bytes(shard.read_bytes()[:-1])
    return root


def entry_files(store: Store, key: dict[str, str]) -> dict[str, bytes]:
    folder = store.entry(key_hash(key)).folder
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(TEMPORARY)}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_a_fault_at_any_call_loses_nothing_and_the_next_try_succeeds(
    tmp_path: Path, prepared: Path, operation: Callable[[Store], None], fault: Fault
) -> None:
    key = OPERATIONS[operation]
    writes = operation in (put_new, write_long, replace_hurt)
    undisturbed = Store(shutil.copytree(prepared, tmp_path / "undisturbed"), NoSync())
    operation(undisturbed)
    for n in range(1, 1000):
        root = shutil.copytree(prepared, tmp_path / f"store-{n}")
        files = Faulty(fault, n)
        outcome: BaseException | None = None
        try:
            operation(Store(root, files))
        except (Killed, StoreError) as error:
            outcome = error
        if not files.met:
            break
        killed = isinstance(outcome, Killed)
        store = Store(root, NoSync())
        assert verify(store).damaged.keys() <= {key_hash(HURT)}
        assert held(store, OLD) or not writes
        held(store, key)
        if operation is read_old:
            assert killed or outcome is None, "a failing read is a miss, not an error"
        if fault in (SHORT, NO_LINKS):
            assert outcome is None, "this much has to be coped with"
        if not killed and fault is not READ_ONLY:
            assert not list(root.rglob(TEMPORARY + "*"))
        operation(store)
        if writes:
            assert held(store, key)
            assert entry_files(store, key) == entry_files(undisturbed, key)
        if operation is prune_all:
            assert not held(store, OLD)
        shutil.rmtree(root)
    else:
        pytest.fail("the operation never ran without a fault")
    assert n > 1 or operation in (read_old, prune_all)


def test_durable_means_file_then_name_then_folder_in_this_order(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", NoSync())
    store.put({"n": 0}, rows(0))
    store.unwritable()
    steps: list[str] = []
    names: dict[int, str] = {}

    class Recorder(NoSync):
        def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            result = super().call(function, *args, **kwargs)
            paths = [short(arg) for arg in args if isinstance(arg, Path)]
            if function is os.open:
                names[result] = paths[0]
            elif function is os.fsync:
                steps.append(f"fsync {names[args[0]]}")
            elif function in (os.mkdir, os.replace, os.link, os.unlink):
                steps.append(" ".join([function.__name__, *paths]))
            return result

    entry = store.entry(key_hash(NEW))
    entry.folder.parent.mkdir()

    def short(path: Path) -> str:
        if path == entry.folder:
            return "entry/"
        if path == entry.folder.parent:
            return "parent/"
        return {".": "temporary", "s": "shard"}.get(path.name[0], path.name)

    Store(store.path, Recorder()).put(NEW, TRUTH["new"])
    assert steps == [
        *("mkdir entry/", "fsync parent/"),
        *("fsync temporary", "replace temporary key.json"),
        *("fsync temporary", "replace temporary shard", "fsync entry/"),
        *("fsync temporary", "link temporary commit.json", "unlink temporary", "fsync entry/"),
    ]


# A power cut at every system call


@dataclass(eq=False)
class OnDisk:
    """A file or folder as the process sees it (``live``) and as it was last synced (``disk``)."""

    live: Any
    disk: Any

    def sync(self) -> None:
        self.disk = self.live.copy() if isinstance(self.live, dict) else self.live

    def after(self, keep: Callable[[Any, Any], Any]) -> Any:
        """What a power cut leaves, ``keep`` choosing between the live and the synced state."""
        if not isinstance(self.live, dict):
            return keep(self.live, self.disk)
        states = {n: keep(self.live.get(n), self.disk.get(n)) for n in {**self.disk, **self.live}}
        return {name: node.after(keep) for name, node in states.items() if node is not None}


def folder() -> OnDisk:
    return OnDisk({}, {})


@dataclass
class PowerCut(Files):
    """Models a disk that keeps only what was synced, whatever else it might keep.

    After each call that changes anything it notes what a cut would leave: nothing unsynced, all
    names but no unsynced content (the zero-length files of a rename without fsync), or any mixture.
    """

    top: Path
    root: OnDisk = field(default_factory=folder)
    handles: dict[int, OnDisk] = field(default_factory=dict)
    promised: dict[str, int] = field(default_factory=dict)
    cuts: list[tuple[dict[str, int], list[Any]]] = field(default_factory=list)
    rng: random.Random = field(default_factory=lambda: random.Random(0))

    def place(self, path: Path) -> tuple[dict[str, OnDisk], str]:
        *parents, name = path.relative_to(self.top).parts
        node = self.root
        for part in parents:
            node = node.live[part]
        return node.live, name

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result: Any = None if function is os.fsync else function(*args, **kwargs)
        if function is os.open:
            if args[0] == self.top:
                self.handles[result] = self.root
            else:
                names, name = self.place(args[0])
                if args[1] & os.O_CREAT:
                    names[name] = OnDisk(b"", b"")
                self.handles[result] = names[name]
        elif function is os.write:
            self.handles[args[0]].live += bytes(args[1][:result])
        elif function is os.fsync:
            self.handles[args[0]].sync()
        elif function is os.mkdir:
            names, name = self.place(args[0])
            names[name] = folder()
        elif function in (os.replace, os.rename, os.link, os.unlink):
            names, name = self.place(args[0])
            node = names[name] if function is os.link else names.pop(name)
            if len(args) == 2:
                names, name = self.place(args[1])
                names[name] = node
        if function in (os.write, os.fsync, os.mkdir, os.replace, os.rename, os.link, os.unlink):
            self.note()
        return result

    def note(self) -> None:
        def mixture(live: Any, disk: Any) -> Any:
            if isinstance(live, bytes) and live != disk:
                return live[: self.rng.randrange(len(live) + 1)]
            return self.rng.choice([live, disk])

        def names_only(live: Any, disk: Any) -> Any:
            return disk if isinstance(disk, bytes) else live

        keeps = [lambda live, disk: disk, names_only, mixture]
        self.cuts.append((dict(self.promised), [self.root.after(keep) for keep in keeps]))


def restore(image: dict[str, Any], folder: Path) -> None:
    folder.mkdir()
    for name, content in image.items():
        if isinstance(content, dict):
            restore(content, folder / name)
        else:
            (folder / name).write_bytes(content)


def test_a_power_cut_at_any_call_keeps_all_that_was_promised(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    files = PowerCut(tmp_path / "disk")
    store = Store(tmp_path / "disk" / "store", files)
    for name, key in (("old", OLD), ("new", NEW)):
        store.put(key, TRUTH[name])
        files.promised[name] = 1
    with store.writer(LONG, rows=18) as writer:
        for block in BLOCKS:
            writer.append(block)
            files.promised["rows"] = writer.done
    files.promised["long"] = 1
    files.note()

    assert len(files.cuts) > 60
    seen: list[Any] = []
    for at, (promised, images) in enumerate(files.cuts):
        for kind, image in enumerate(images):
            if (promised, image) in seen:
                continue
            seen.append((promised, image))
            top = tmp_path / f"cut-{at}-{kind}"
            restore(image, top)
            left = Store(top / "store", NoSync())
            for key in (OLD, NEW, LONG):
                assert held(left, key) or key["entry"] not in promised, (at, kind, key)
            if not left.contains(LONG):
                chain = left.entry(key_hash(LONG)).longest_chain(18)
                assert chain.rows >= promised.get("rows", 0), (at, kind)
            assert verify(left).quarantined == 0, (at, kind)
            if kind == 0:
                write_long(left)
                assert held(left, LONG)
            shutil.rmtree(top)


# Damage


def wounds(rng: random.Random, size: int) -> Callable[[bytearray], None]:
    at = rng.randrange(size)

    def flip(data: bytearray) -> None:
        data[at] ^= 1 << rng.randrange(8)

    def cut(data: bytearray) -> None:
        del data[at:]

    def append(data: bytearray) -> None:
        data += rng.randbytes(rng.randint(1, 100))

    def zero(data: bytearray) -> None:
        data[at : at + 512] = bytes(len(data[at : at + 512]))
        data[at] ^= 255

    def swap(data: bytearray) -> None:
        data[at : at + 8] = rng.randbytes(8)
        data[at] ^= 255

    return rng.choice([flip, flip, flip, cut, append, zero, swap])


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 100), pytest.param(1, 1000, marks=pytest.mark.slow)]
)
def test_no_damage_to_any_file_is_ever_served(tmp_path: Path, seed: int, count: int) -> None:
    store = Store(tmp_path / "store", NoSync())
    write_long(store)
    entry = store.entry(key_hash(LONG))
    good = {path: path.read_bytes() for path in entry.folder.iterdir()}
    assert len(good) == 5
    rng = random.Random(seed)
    for _ in range(count):
        path = rng.choice(sorted(good))
        data = bytearray(good[path])
        wounds(rng, len(data))(data)
        path.write_bytes(data)
        assert list(verify(store).damaged) == [entry.hash]
        assert store.get(LONG) is None
        (aside,) = (store.root / "quarantine").iterdir()
        os.rename(aside, entry.folder)
        path.write_bytes(good[path])
        assert held(store, LONG)


def test_a_file_that_is_something_else_is_damage_too(tmp_path: Path) -> None:
    def swap_for_folder(path: Path) -> None:
        path.mkdir()

    def swap_for_pipe(path: Path) -> None:
        os.mkfifo(path)

    def swap_for_link(path: Path) -> None:
        path.symlink_to("/dev/zero")

    def remove(path: Path) -> None:
        pass

    for number, swap in enumerate([swap_for_folder, swap_for_pipe, swap_for_link, remove]):
        for pattern in ("commit.json", "key.json", "s-*.h5"):
            store = Store(tmp_path / f"{number}-{pattern[0]}", NoSync())
            put_new(store)
            (path,) = store.entry(key_hash(NEW)).folder.glob(pattern)
            path.unlink()
            swap(path)
            assert store.get(NEW) is None, (swap, pattern)
            put_new(store)
            assert held(store, NEW), (swap, pattern)


def test_a_file_that_merely_cannot_be_read_now_is_a_miss_and_stays(
    tmp_path: Path, prepared: Path
) -> None:
    root = shutil.copytree(prepared, tmp_path / "store")

    class OutOfHandles(NoSync):
        def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if function is os.open and args[0].suffix == ".h5":
                refuse(errno.EMFILE)()
            return super().call(function, *args, **kwargs)

    assert Store(root, OutOfHandles()).get(OLD) is None
    assert held(Store(root), OLD)


def test_an_entry_renewed_by_another_process_is_not_set_aside(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", NoSync())
    store.put(OLD, rows(99))
    entry = store.entry(key_hash(OLD))
    judged = entry.record()
    shutil.rmtree(entry.folder)
    store.put(OLD, TRUTH["old"])
    entry.set_aside(judged, OSError(errno.EIO, "bad sector"))
    assert held(store, OLD)
    shutil.rmtree(entry.folder)
    entry.set_aside(judged, OSError(errno.EIO, "bad sector"))
    assert not (store.root / "quarantine").exists()


# Disks that are really full, and folders that really vanish


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow past 1 MB: the kernel itself refuses, in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_one_sentence_and_earlier_entries_are_intact(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.put(OLD, TRUTH["old"])
    with pytest.raises(StoreError, match="free some space") as refused:
        store.put(NEW, rows(2, n=100_000))
    assert refused.value.code == "disk-full"
    assert not list(store.root.rglob(TEMPORARY + "*"))
    assert held(store, OLD)
    assert verify(store).damaged == {}
    put_new(store)
    assert held(store, NEW)


def test_a_put_whose_folder_is_pruned_under_its_hands_starts_over(tmp_path: Path) -> None:
    class Pruned(NoSync):
        puts = 0

        def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if function is os.link and not self.puts:
                self.puts += 1
                shutil.rmtree(args[1].parent)
            return super().call(function, *args, **kwargs)

    store = Store(tmp_path / "store", Pruned())
    put_new(store)
    assert held(store, NEW)


# Anything, in any order


class AnyOrder(RuleBasedStateMachine):
    """Writers, kills, damage and pruning in any order: right rows, or a miss, never else."""

    numbers = st.integers(0, 2)

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.folder.name) / "store", NoSync())
        self.kept: set[int] = set()

    def teardown(self) -> None:
        self.folder.cleanup()

    def parts(self, number: int) -> list[Embeddings]:
        return [rows(100 * number + part, n=2) for part in range(3)]

    def write(self, number: int, store: Store, stop: int = 3) -> None:
        with store.writer({"n": number}, rows=6) as writer:
            for block in self.parts(number)[writer.done // 2 : stop]:
                writer.append(block)

    @rule(number=numbers)
    def put(self, number: int) -> None:
        self.store.put({"n": number}, join(self.parts(number)))
        self.kept.add(number)

    @rule(number=numbers, stop=st.integers(0, 3))
    def write_some(self, number: int, stop: int) -> None:
        with suppress(StoreError):
            self.write(number, self.store, stop)
            self.kept.add(number)

    @rule(number=numbers, n=st.integers(1, 80), fault=st.sampled_from([KILL, TORN, FULL]))
    def write_and_fail(self, number: int, n: int, fault: Fault) -> None:
        with suppress(Killed, StoreError):
            self.write(number, Store(self.store.path, Faulty(fault, n)))

    @rule(number=numbers)
    def get(self, number: int) -> None:
        got = self.store.get({"n": number})
        assert got is None or same(got, join(self.parts(number)))
        assert got is not None or number not in self.kept

    @rule(number=numbers, data=st.data())
    def damage(self, number: int, data: st.DataObject) -> None:
        folder = self.store.entry(key_hash({"n": number})).folder
        files = sorted(folder.iterdir()) if folder.exists() else []
        if files := [file for file in files if file.stat().st_size]:
            file = data.draw(st.sampled_from(files))
            content = bytearray(file.read_bytes())
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1
            file.write_bytes(content)
            self.kept.discard(number)

    @rule()
    def prune(self) -> None:
        with suppress(StoreError):  # nothing was ever written, so there is no tag
            prune(self.store, max_bytes=0, dry_run=False)
            self.kept.clear()

    @rule(n=st.integers(1, 40))
    def prune_and_die(self, n: int) -> None:
        self.kept.clear()
        with suppress(Killed, StoreError):
            prune(Store(self.store.path, Faulty(KILL, n)), max_bytes=0, dry_run=False)

    @rule()
    def verify(self) -> None:
        names = {key_hash({"n": number}) for number in self.kept}
        assert not names & verify(self.store).damaged.keys()


AnyOrder.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestAnyOrder = AnyOrder.TestCase
