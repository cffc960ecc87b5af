"""Writers, kills, damage and pruning in any order."""

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from metaprobe.data.embeddings import Embeddings
from metaprobe.data.errors import StoreError
from metaprobe.data.keys import key_hash
from metaprobe.data.store import Store
from metaprobe.data.store_format import join
from metaprobe.data.store_prune import prune
from metaprobe.data.store_verify import verify

from .faults import FULL, KILL, TORN, Fault, Faulty, Killed
from .stored import NoSync, rows, same


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
