"""The store with real processes: killed at any moment, racing for one key, read while pruned."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from metaprobe.data.keys import key_hash
from metaprobe.data.store import Store
from metaprobe.data.store_verify import verify

CHILD = """
import itertools, os, sys
from contextlib import suppress
import numpy as np
from metaprobe.data import store_format
from metaprobe.data.embeddings import Embeddings
from metaprobe.data.errors import StoreError
from metaprobe.data.store import Store
from metaprobe.data.store_prune import prune

role, root, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = Store(root)
store_format.SHARD_BYTES = 4000  # so that an entry takes many steps

def rows(value, n=300):
    features = np.full((n, 8), value, np.float32)
    return Embeddings(features, np.array([f"{value}"] * n), np.arange(n))

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def fill():
    for i in itertools.count(seed):
        store.put({"put": i}, rows(i))
        say("put", i)
        with suppress(StoreError), store.writer({"long": 0}, rows=10_000_000) as writer:
            for _ in range(3):
                writer.append(rows(writer.done, n=10))
                say("rows", writer.done)

def race():
    store.put({"one": "key"}, rows(seed))
    say("done")

def read():
    for _ in range(40):
        got = store.get({"one": "key"})
        assert got is None or (got.features == got.features[0, 0]).all() and len(got) == 300
        if got is None:
            store.put({"one": "key"}, rows(seed))
    say("done")

def sweep():
    for _ in range(60):
        prune(store, max_bytes=0, dry_run=False)
    say("done")

say("ready")
if role != "fill":
    sys.stdin.readline()  # all start at once
{"fill": fill, "race": race, "read": read, "sweep": sweep}[role]()
"""


Child = subprocess.Popen[str]


@contextmanager
def child(role: str, root: Path, seed: int = 0) -> Iterator[Child]:
    command = [sys.executable, "-c", CHILD, role, str(root), str(seed)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def start(process: Child) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def finished(process: Child) -> bool:
    out, err = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), err
    return out == "done\n"


@pytest.mark.parametrize("kills", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_a_process_killed_at_any_moment_loses_nothing_it_had_saved(
    tmp_path: Path, kills: int
) -> None:
    store = Store(tmp_path / "store")
    rng = random.Random(kills)
    saved, long_rows = [], 0
    for kill in range(kills):
        with child("fill", store.root, seed=1000 * kill) as process:
            assert process.stdout is not None
            words = [process.stdout.readline().split()]  # at least one entry each time
            time.sleep(rng.uniform(0, 0.1))
            process.kill()
            words += [line.split() for line in process.stdout if line.endswith("\n")]
        saved += [int(word[1]) for word in words if word[0] == "put"]
        long_rows = max([long_rows, *(int(word[1]) for word in words if word[0] == "rows")])
        assert verify(store).damaged == {}
        for number in [*saved, saved[-1] + 1]:
            got = store.get({"put": number})
            assert got is not None or number not in saved
            assert got is None or got.features.tolist() == [[number] * 8] * 300
        chain = store.entry(key_hash({"long": 0})).longest_chain(10_000_000)
        assert chain.rows >= long_rows
    assert len(saved) >= kills
    assert not (store.root / "quarantine").exists()


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_of_four_writers_two_of_them_killed_one_wins_whole(tmp_path: Path, rounds: int) -> None:
    rng = random.Random(rounds)
    for n in range(rounds):
        store = Store(tmp_path / f"store-{n}")
        with ExitStack() as stack:
            racers = [stack.enter_context(child("race", store.root, seed)) for seed in range(4)]
            for racer in racers:
                start(racer)
            time.sleep(rng.uniform(0, 0.05))
            for racer in racers[:2]:
                racer.kill()
            for racer in racers[2:]:
                assert finished(racer)
        got = store.get({"one": "key"})
        assert got is not None
        assert len(got) == 300
        assert len(set(got.features.flat)) == 1
        assert verify(store).damaged == {}


@pytest.mark.slow
def test_readers_and_writers_of_a_store_that_is_pruned_all_the_time_see_only_whole_entries(
    tmp_path: Path,
) -> None:
    assert Store(tmp_path / "store").unwritable() is None
    with ExitStack() as stack:
        roles = ["read", "read", "read", "read", "sweep", "sweep"]
        running = [
            stack.enter_context(child(role, tmp_path / "store", seed))
            for seed, role in enumerate(roles)
        ]
        for process in running:
            start(process)
        for process in running:
            assert finished(process)
    assert verify(Store(tmp_path / "store")).damaged == {}


AUDIT = """
import os, sys

top, seen, asked = sys.argv[1], [], []
events = {"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate",
          "os.utime", "os.listdir", "os.scandir", "os.chmod", "os.symlink", "shutil.rmtree"}
functions = {os.open, os.rename, os.replace, os.link, os.unlink, os.mkdir, os.rmdir, os.utime,
             os.listdir}

def hear(event, args):
    if event in events and str(args[0]).startswith(top):
        seen.append(event)

import numpy as np
from metaprobe.data.embeddings import Embeddings
from metaprobe.data.keys import key_hash
from metaprobe.data.store import Store
from metaprobe.data.store_files import Files
from metaprobe.data.store_prune import prune
from metaprobe.data.store_verify import verify

class Counted(Files):
    def call(self, function, *args, **kwargs):
        if function in functions:
            asked.append(function)
        return function(*args, **kwargs)

sys.addaudithook(hear)
store = Store(top + "/store", Counted())
store.put({"a": 1}, Embeddings(np.ones((3, 2), np.float32), np.array(list("abc")), np.arange(3)))
assert store.get({"a": 1}) is not None
assert not store.unwritable()
with open(store.entry(key_hash({"a": 1})).folder / "key.json", "w"):
    seen.remove("open")  # the damage is ours
assert verify(store).damaged
assert store.get({"a": 1}) is None
prune(store, max_bytes=0, dry_run=False)
print(len(seen), len(asked))
"""


def test_nothing_bypasses_the_one_way_to_the_disk(tmp_path: Path) -> None:
    command = [sys.executable, "-c", AUDIT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen, asked = map(int, done.stdout.split())
    assert seen == asked > 50
