"""The store under power cuts: what was promised is on the disk, in the right order."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metaprobe.data.keys import key_hash
from metaprobe.data.store import Store
from metaprobe.data.store_files import Files
from metaprobe.data.store_verify import verify

from .faults import BLOCKS, LONG, NEW, OLD, TRUTH, held, write_long
from .stored import NoSync, rows


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
