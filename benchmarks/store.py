"""The store against raw writes and reads of the same bytes (page cache warm, wall clock).

The store hashes what it writes and what it reads, and syncs before it says so; the
raw write syncs too. Hashing is most of a read, so it is also held against a raw
read of the same bytes that hashes them.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from metaprobe.data.embeddings import Embeddings
from metaprobe.data.store import Store

from .sidebyside import Ratio, compare


def main(rounds: int = 5, rows: int = 20_000) -> list[Ratio]:
    """The ratios for writing and reading one entry."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((rows, 256), dtype=np.float32)
    entry = Embeddings(features, np.arange(rows).astype(str), np.zeros(rows, np.int64))
    payload = features.tobytes()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, counter = Store(folder / "store"), iter(range(10**6))
        store.put({"fixed": 0}, entry)
        (folder / "raw").write_bytes(payload)
        buffer = bytearray(len(payload))

        def raw_write() -> None:
            with (folder / f"raw-{next(counter)}").open("wb") as file:
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())

        def raw_read() -> None:
            with (folder / "raw").open("rb", buffering=0) as file:
                file.readinto(buffer)

        def hashed_read() -> None:
            raw_read()
            hashlib.sha256(buffer).digest()

        clock = time.perf_counter
        return [
            compare(
                "store-write", lambda: store.put({"n": next(counter)}, entry), raw_write,
                peer_name="write and fsync", rounds=rounds, clock=clock,
            ),
            compare(
                "store-read", lambda: store.get({"fixed": 0}), raw_read,
                peer_name="readinto", rounds=rounds, clock=clock,
            ),
            compare(
                "store-read-hashed", lambda: store.get({"fixed": 0}), hashed_read,
                peer_name="readinto and SHA-256", rounds=rounds, clock=clock,
            ),
        ]  # fmt: skip
