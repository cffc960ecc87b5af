"""Hostile, damaged and awkward files, written anew into a folder, and how each must end.

``reject``: status 2 and one sentence. ``accept``: status 0. ``flag``: read with a flag, or
refused. Payloads make a folder in ``PWNED``, which stays empty unless somebody obeys a file.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import socket
import struct
import tarfile
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save

from . import assembler as a

End = Literal["reject", "accept", "flag"]
STAMP = struct.pack("<Q", 4) + a.FOUR


@dataclass(frozen=True)
class Entry:
    """One file.

    Args:
        name: In the folder.
        end: How reading it must end.
        live: Whether its payload runs under an unsafe reader.
        code: A code that the refusal or the flag must have; None for any.
    """

    name: str
    end: End
    live: bool = False
    code: str | None = None


def state(seed: int = 0) -> OrderedDict[str, torch.Tensor]:
    """A block of a convolutional encoder and a head."""
    draw = torch.Generator().manual_seed(seed)
    return OrderedDict(
        {
            "features.0.conv.weight": torch.randn(8, 3, 3, 3, generator=draw),
            "features.0.conv.bias": torch.randn(8, generator=draw),
            "features.0.norm.weight": torch.rand(8, generator=draw),
            "features.0.norm.running_mean": torch.randn(8, generator=draw),
            "features.0.norm.running_var": torch.rand(8, generator=draw) + 0.1,
            "features.0.norm.num_batches_tracked": torch.tensor(7),
            "classifier.weight": torch.randn(5, 8, generator=draw),
            "classifier.bias": torch.randn(5, generator=draw),
        }
    )


def write_corpus(folder: Path) -> tuple[Entry, ...]:
    """Write every file.

    Args:
        folder: An empty folder; it comes to hold a pipe, a socket and links to devices.

    Returns:
        What was written.
    """
    (folder / "PWNED").mkdir(parents=True)
    out: list[Entry] = []
    for part in (
        programs,
        endless,
        containers,
        views,
        headers,
        looks,
        weights,
        layouts,
        folders,
        places,
    ):
        for name, content, end, *rest in part(folder):
            if isinstance(content, bytes):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            out.append(Entry(name, end, code=next((r for r in rest if isinstance(r, str)), None), live=True in rest))  # fmt: skip
    assert len({entry.name for entry in out}) == len(out)
    return tuple(out)


def torched(value: Any, **how: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, **how)
    return out.getvalue()


Rows = Iterator[tuple[Any, ...]]


def programs(folder: Path) -> Rows:
    """Pickles that would run something."""
    pwned = folder / "PWNED"

    def beside(body: bytes) -> bytes:
        return a.archive(a.table({"w": a.tensor(), "x": body}))

    for protocol in range(6):
        name = f"bare_p{protocol}"
        yield f"{name}.pt", pickle.dumps(a.Payload(pwned / name), protocol), "reject", True
        name = f"zip_p{protocol}"
        value = {"state_dict": state(), "x": a.Payload(pwned / name)}
        raw = torched(value, pickle_protocol=protocol) if protocol > 1 else None
        if raw is not None:
            yield f"{name}.pt", raw, "reject", True, "pickle-global"
    old = torched({"model": state(), "x": a.Payload(pwned / "stream")}, _use_new_zipfile_serialization=False)  # fmt: skip
    yield "stream.pth", old, "reject", True, "pickle-global"
    path = a.word(str(pwned / "key"))
    call = a.named("os.mkdir") + a.tupled(path) + b"R"
    yield "key.pt", a.archive(b"}(" + call + a.tensor() + b"u"), "reject", True
    call = b"(" + a.word(str(pwned / "inst")) + b"ios\nmkdir\n"
    yield "inst.pt", beside(call), "reject", True
    call = b"(" + a.named("os.mkdir") + a.word(str(pwned / "obj")) + b"o"
    yield "obj.pt", beside(call), "reject", True
    words = ["mkdir", str(pwned / "newobj")]
    call = a.named("subprocess.Popen") + a.tupled(b"](" + b"".join(map(a.word, words)) + b"e")
    yield "newobj.pt", beside(call + b"\x81"), "reject"
    stack = a.word("os") + a.word("mkdir") + b"\x93" + a.tupled(a.word(str(pwned / "stack"))) + b"R"
    yield "stack_global.pt", beside(stack), "reject", True
    for full, arguments in {
        "builtins.eval": [f"__import__('os').mkdir({str(pwned / 'eval')!r})"],
        "builtins.exec": [f"__import__('os').mkdir({str(pwned / 'exec')!r})"],
        "timeit.timeit": ["pass", f"__import__('os').mkdir({str(pwned / 'timeit')!r})"],
        "cProfile.run": [f"__import__('os').mkdir({str(pwned / 'run')!r})"],
        "code.interact": ["x"],
        "runpy.run_path": ["x.py"],
        "webbrowser.open": ["http://127.0.0.1:9/"],
        "torch.load": ["bare_p2.pt"],
        "torch.jit.load": ["x.pt"],
        "torch.hub.load": ["x", "y"],
        "numpy.load": ["x.npy"],
        "pandas.read_pickle": ["x.pkl"],
        "joblib.load": ["x.joblib"],
        "shutil.rmtree": ["nowhere"],
        "importlib.import_module": ["antigravity"],
    }.items():
        live = full.split(".")[-1] in ("eval", "exec", "timeit")
        body = beside(a.call(full, *map(a.word, arguments)))
        yield f"calls_{full}.pt", body, "reject", "pickle-global", live
    inner = a.program(a.made_folder(pwned / "nested")).decode("latin-1")
    nested = a.call("torch.storage._load_from_bytes", a.call("_codecs.encode", a.word(inner), a.word("latin1")))  # fmt: skip
    yield "nested_pickle.pt", beside(nested), "reject", "pickle-global"
    hidden = a.call("builtins.getattr", a.named("builtins.dict"), a.word("fromkeys"))
    yield "getattr.pt", beside(hidden), "reject", "pickle-global"
    made = a.call("argparse.Namespace") + a.tupled() + b"R"
    yield "calls_what_it_made.pt", beside(made), "reject", "pickle-call"
    yield "calls_a_tensor.pt", beside(a.tensor() + a.tupled() + b"R"), "reject", "pickle-call"
    yield "extension.pt", beside(b"\x82\x01"), "reject", "pickle-instruction"
    yield "buffer.pt", beside(b"\x97"), "reject", "pickle-instruction"
    source = a.tupled(a.word("module"), a.named("torch.Tensor"), a.word("x.py"), a.word("code")) + b"Q"  # fmt: skip
    yield "source_within.pt", beside(source), "reject", "whole-model"
    for full in ("torch.nn.modules.container.Sequential", "torchvision.models.resnet.ResNet", "timm.models.resnet.ResNet"):  # fmt: skip
        body = a.named(full) + b")\x81}b"
        yield f"model_{full}.pt", a.archive(body, {}), "reject", "whole-model"
    yield "model_of_the_user.pt", a.archive(a.named("__main__.Net") + b")\x81}b", {}), "reject", "pickle-global"  # fmt: skip
    garbage = a.program(a.made_folder(pwned / "garbage"))[:-1] + b"\xff\xff"
    yield "garbage_after.pt", garbage, "reject", True
    two = a.program(a.table({"w": a.whole(1)})) + a.program(a.made_folder(pwned / "second"))
    yield "two_programs.pkl", two, "reject"
    spaced = a.named("os.mkdir") + b"q\x010N" + b"h\x01" + a.tupled(a.word(str(pwned / "memo"))) + b"R"  # fmt: skip
    yield "from_memo.pt", beside(spaced), "reject", True
    bag = b"c__builtin__\nset\n](" + a.made_folder(pwned / "set") + b"e\x85R"
    yield "in_a_set.pt", beside(bag), "reject", True


def endless(folder: Path) -> Rows:
    """Small files that ask for long work or much memory by referring to one thing again and again."""
    tree = b"](" + a.word("x") * 2 + b"eq\0"
    for level in range(1, 45):  # its text would have 2^45 words
        tree = b"](" + tree + b"h" + bytes([level - 1]) + b"eq" + bytes([level])
    key = a.tupled(a.word("storage"), a.named("torch.FloatStorage"), tree, a.word("cpu"), a.whole(4)) + b"Q"  # fmt: skip
    shape = a.call("torch._utils._rebuild_tensor_v2", a.storage(), a.whole(0), tree, a.tupled(a.whole(1)))  # fmt: skip
    for name, body in (
        ("key", key), ("shape", shape), ("device", a.call("torch.device", tree)),
        ("dtype", a.call("numpy.dtype", tree)),
    ):  # fmt: skip
        yield f"endless_{name}.pkl", a.program(body), "reject"
        harmless = name in ("device", "dtype")  # words beside the weights
        zipped = a.archive(a.table({"w": a.tensor(), "x": body}))
        yield f"endless_{name}.pt", zipped, "accept" if harmless else "reject"
    keys = a.legacy(a.table({"w": a.tensor()}))
    listed = b"](" + a.word("0") + b"e"
    yield "endless_keys.pth", keys.replace(a.program(listed), a.program(b"](" + tree + b"e")), "reject"  # fmt: skip

    def beside(body: bytes) -> bytes:
        return a.archive(a.table({"w": a.tensor(), "x": body}))

    yield "a_long_list.pt", beside(b"](K\1q\5" + b"h\5" * 2_000_000 + b"e"), "accept"
    yield "one_word_often.pt", beside(b"](" + a.word("x" * 1999) + b"q\5" + b"h\5" * 49_000 + b"e"), "accept"  # fmt: skip
    long_name = b"comegaconf." + b"x" * 10_000_000 + b"\ny\n)R"
    yield "a_long_global.pt", beside(long_name), "reject", "damaged"
    body = b"}(" + a.word("state_dict") + a.table({"w": a.tensor()})
    body += a.word("c") + a.table({"w": a.tensor() + b"q\7"})
    body += b"".join(a.word(f"c{i}") + b"}" + a.word("w") + b"h\7s" for i in range(20_000)) + b"u"
    yield "many_state_dicts.pt", a.archive(body), "flag", "choice"
    words = {f"{i:07d}": "" for i in range(600_000)}
    raw = a.safetensors({"__metadata__": words, "w": a.entry()})
    yield "many_words.safetensors", raw, "reject", "too-large"
    raw = a.safetensors({"__metadata__": {"k": "x" * 50_000_000}, "w": a.entry()})
    yield "a_long_word.safetensors", raw, "reject", "too-large"
    long = (0, 2**39, 2**39)
    yield "nothing_far_apart.pt", a.archive(a.table({"w": a.tensor(long, (1, 1, 1))})), "reject", "bounds"  # fmt: skip
    yield "nothing_far_apart.safetensors", a.safetensors({"w": a.entry(shape=long, at=[0, 0])}, b""), "reject", "bounds"  # fmt: skip
    yield "name_of_no_text.pt", a.archive(a.table({"a\ud800.w": a.tensor()})), "reject", "keys"
    yield "name_of_the_format.pt", a.archive(a.table({"__metadata__": a.tensor()})), "flag"


def containers(folder: Path) -> Rows:
    """Zips and streams that are not as PyTorch leaves them."""
    good = torched(state())
    body = a.table({"w": a.tensor()})
    once = a.archive(body)
    yield "good.pt", good, "accept"
    yield "good_by_hand.pt", once, "accept"
    yield "good.pth", torched(state(), _use_new_zipfile_serialization=False), "accept"
    yield "no_checksums.pt", a.without_checksums(once), "flag", "no-crc"
    yield "member_twice.pt", a.archive(body, extra=[("a/data/0", a.FOUR)]), "reject", "duplicate"
    evil = a.program(a.made_folder(folder / "PWNED" / "twice"))
    yield "program_twice.pt", a.archive(body, extra=[("a/data.pkl", evil)]), "reject", "duplicate"
    for name in ("/etc/x", "../x", "a/../../x", "a\\..\\x", "C:x"):
        raw = a.archive(body, extra=[(name, b"x")])
        yield f"member_{ascii(name.replace('/', '_'))[1:-1]}.pt", raw, "reject", "path"
    yield "named_by_the_clock.pt", a.archive(body, root="epoch_12:30:00"), "accept"
    yield "two_roots.pt", a.archive(body, extra=[("b/x", b"x")]), "reject", "not-torch"
    yield "no_program.pt", a.zipped([("a/data/0", a.FOUR)]), "reject", "not-torch"
    yield "empty_zip.pt", b"PK\5\6" + bytes(18), "reject"
    yield "office.pt", a.zipped([("word/document.xml", b"<x/>")]), "reject", "not-torch"
    yield "arrays.pt", a.zipped([("x.npy", b"\x93NUMPY")]), "reject", "npz"
    yield "script.pt", a.archive(body, extra=[("a/code/x.py", b"x"), ("a/constants.pkl", b"")]), "reject", "torchscript"  # fmt: skip
    script = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.ReLU()), script)
    yield "script_of_torch.pt", script.getvalue(), "reject", "torchscript"
    yield "deflated.pt", a.archive(body, deflated=["a/data/0"]), "reject", "compressed-member"
    bomb = a.archive(a.table({"w": a.tensor((2**24,), of=a.storage(count=2**24))}), {"0": bytes(2**26)}, deflated=["a/data/0"])  # fmt: skip
    yield "bomb.pt", bomb, "reject", "compressed-member"
    yield "big_endian.pt", a.archive(body, byteorder=b"big"), "reject", "endian"
    yield "commented.pt", a.archive(body, comment=b"hello"), "reject", "damaged"
    yield "junk_after.pt", once + b"junk" * 50, "reject"
    yield "junk_before.pt", b"PK\3\4" + bytes(60) + once, "reject"
    flipped = bytearray(once)
    flipped[once.find(a.FOUR) + 1] ^= 4
    yield "flipped.pt", bytes(flipped), "reject", "checksum"
    locked = bytearray(once)
    locked[once.find(b"PK\1\2") + 8] |= 1
    yield "locked.pt", bytes(locked), "reject"
    moved = bytearray(once)
    last = once.rfind(b"PK\1\2")
    moved[last + 42 : last + 46] = bytes(4)
    yield "overlapping.pt", bytes(moved), "reject"
    for share in (10, 60, 99):
        yield f"cut_at_{share}.pt", good[: len(good) * share // 100], "reject", "truncated"
    stream = a.legacy(body)
    yield "by_hand.pth", stream, "accept"
    yield "storages_missing.pth", a.legacy(body, keys=(), stored=b""), "reject", "missing-record"
    yield "storage_too_many.pth", a.legacy(body, keys=("0", "1"), stored=STAMP * 2), "reject"
    yield "storage_short.pth", stream[:-3], "reject", "truncated"
    yield "storage_other_size.pth", a.legacy(body, stored=struct.pack("<Q", 3) + a.FOUR), "reject", "size"  # fmt: skip
    yield "stream_goes_on.pth", stream + b"\0", "reject", "trailing"
    yield "stream_big_endian.pth", a.legacy(body, little=b"\x89"), "reject", "endian"
    yield "stream_of_the_future.pth", a.legacy(body, version=1002), "reject", "damaged"
    yield "stream_cut.pth", stream[: len(stream) // 2], "reject", "damaged"


def views(folder: Path) -> Rows:
    """Tensors that are not what their bytes hold."""

    def one(tensor: bytes, **records: bytes) -> bytes:
        return a.archive(a.table({"w": tensor}), records or None)

    yield "stride_zero.pt", one(a.tensor((10**6, 10**6), (0, 0))), "reject", "expanded"
    yield "a_little_repeated.pt", one(a.tensor((5,), (0,))), "reject", "expanded"
    yield "offset.pt", one(a.tensor(offset=1)), "reject", "bounds"
    yield "stride_past_the_end.pt", one(a.tensor((2,), (4,))), "reject", "bounds"
    yield "negative.pt", one(a.tensor((-4,))), "reject", "bounds"
    yield "negative_stride.pt", one(a.tensor(stride=(-1,))), "reject", "bounds"
    yield "sides_and_strides.pt", one(a.tensor((2, 2), (1,))), "reject", "bounds"
    yield "seventy_sides.pt", one(a.tensor((1,) * 70, (1,) * 70)), "reject", "bounds"
    yield "overflowing.pt", one(a.tensor((2**33, 2**33), (1, 1))), "reject", "expanded"
    yield "claims_1e18.pt", one(a.tensor(of=a.storage(count=10**18))), "reject", "size"
    yield "claims_less.pt", one(a.tensor((2,), of=a.storage(count=2))), "reject", "size"
    yield "claims_more.pt", one(a.tensor(of=a.storage(count=5))), "reject", "size"
    yield "no_record.pt", a.archive(a.table({"w": a.tensor()}), {}), "reject", "missing-record"
    yield "record_elsewhere.pt", one(a.tensor(of=a.storage("../../../etc/passwd"))), "reject", "missing-record"  # fmt: skip
    yield "two_types.pt", a.archive(a.table({"w": a.tensor(), "v": a.tensor((2,), of=a.storage(count=2, kind="DoubleStorage"))})), "flag", "float64"  # fmt: skip
    yield "storage_of_no_type.pt", one(a.tensor(of=a.storage(kind="QInt8Storage"))), "reject"
    big = a.storage(count=2**16)
    body = a.table({f"w{i}": a.tensor((2**16,), of=big) for i in range(600)})
    yield "one_storage_600_times.pt", a.archive(body, {"0": bytes(2**18)}), "reject", "too-large"
    yield "bytes_by_count.pt", a.archive(a.table({"w": a.tensor(), "x": a.call("builtins.bytearray", a.whole(2**36))})), "reject", "size"  # fmt: skip
    yield "constructor.pt", one(a.call("torch.Tensor", a.whole(10**10))), "reject", "pickle-call"
    yield "set_on_a_tensor.pt", one(a.tensor() + b"(" + a.whole(0) + a.whole(9) + b"u"), "reject", "damaged"  # fmt: skip
    yield "memo_2_32.pt", one(a.tensor() + b"r\xff\xff\xff\xff"), "accept"
    hook = b"}(" + a.whole(0) + a.named("torch.Size") + b"u"
    yield "hooked.pt", one(a.tensor(hooks=hook)), "flag", "hooks"
    yield "deep.pt", a.archive(b"]" * 30_000 + b"a" * 29_999), "reject", "too-deep"
    tree = b"]q\0"
    for level in range(1, 40):
        tree = b"](" + tree + b"h" + bytes([level - 1]) + b"eq" + bytes([level])
    yield "laughing.pt", a.archive(a.table({"w": a.tensor(), "x": tree})), "accept"
    round_ = b"}q\0(" + a.word("state_dict") + b"h\0" + a.word("w") + a.tensor() + b"u"
    yield "round.pt", a.archive(round_), "flag", "cycle"
    for kind in ("_rebuild_sparse_tensor", "_rebuild_qtensor", "_rebuild_meta_tensor_no_storage"):
        yield f"{kind}.pt", one(a.call(f"torch._utils.{kind}")), "reject", "tensor-kind"
    many = a.table({f"layer{i}.w": a.tensor((1,), offset=i % 4) for i in range(11_000)})
    yield "many.pt", a.archive(many), "flag", "many-tensors"


def headers(folder: Path) -> Rows:
    """Safetensors that break a rule."""
    one = a.entry()
    rows: dict[str, tuple[Any, ...]] = {
        "none": ({}, b"", "reject", "no-tensors"),
        "array": ([], b"", "reject", "damaged"),
        "length_0": (b"", b"", "reject"),
        "length_1": (b"{", b"", "reject"),
        "not_json": (b"{w:1}", b"", "reject", "damaged"),
        "not_utf8": (b'{"\xff":1}', b"", "reject", "damaged"),
        "deep": (b'{"w":' + b"[" * 30_000 + b"]" * 30_000 + b"}", b"", "reject", "damaged"),
        "twice": (b'{"w":' + json.dumps(one).encode() + b',"w":' + json.dumps(one).encode() + b"}", a.FOUR, "reject", "damaged"),
        "twice_within": (b'{"w":{"dtype":"I32","dtype":"F32","shape":[4],"data_offsets":[0,16]}}', a.FOUR, "reject", "damaged"),
        "more_fields": ({"w": a.entry(x=1)}, a.FOUR, "reject", "damaged"),
        "fewer_fields": ({"w": {"dtype": "F32"}}, a.FOUR, "reject", "damaged"),
        "a_number": ({"w": 4}, a.FOUR, "reject", "damaged"),
        "type": ({"w": a.entry("F31")}, a.FOUR, "reject", "dtype"),
        "type_a_list": ({"w": a.entry(["F32"])}, a.FOUR, "reject"),
        "float_shape": ({"w": a.entry(shape=[4.0])}, a.FOUR, "reject", "damaged"),
        "true_shape": ({"w": a.entry(shape=[True, 4])}, a.FOUR, "reject", "damaged"),
        "negative_shape": ({"w": a.entry(shape=[-4])}, a.FOUR, "reject", "damaged"),
        "nan_shape": (b'{"w":{"dtype":"F32","shape":[NaN],"data_offsets":[0,16]}}', a.FOUR, "reject", "damaged"),
        "claims_1e18": ({"w": a.entry(shape=[10**9, 10**9])}, a.FOUR, "reject", "damaged"),
        "nothing_times_2_62": ({"w": a.entry(shape=[0, 2**62], at=[0, 0])}, b"", "reject", "damaged"),
        "backwards": ({"w": a.entry(at=[16, 0])}, a.FOUR, "reject", "damaged"),
        "three_offsets": ({"w": a.entry(at=[0, 16, 16])}, a.FOUR, "reject", "damaged"),
        "overlap": ({"a": one, "b": a.entry(at=[8, 24])}, a.FOUR * 2, "reject", "damaged"),
        "hole": ({"a": one, "b": a.entry(at=[20, 36])}, a.FOUR * 3, "reject", "damaged"),
        "rest": ({"w": one}, a.FOUR + b"PK\3\4", "reject", "damaged"),
        "short": ({"w": one}, a.FOUR[:-1], "reject", "damaged"),
        "words_of_numbers": ({"w": one, "__metadata__": {"a": 1}}, a.FOUR, "reject", "damaged"),
        "words_a_list": ({"w": one, "__metadata__": []}, a.FOUR, "reject", "damaged"),
        "spaced": (b'  {"w":' + json.dumps(one).encode() + b"}  ", a.FOUR, "accept"),
        "nameless": ({"": one}, a.FOUR, "accept"),
        "small_floats": ({"w": a.entry("F8_E4M3", [16])}, a.FOUR, "accept"),
    }  # fmt: skip
    for name, (header, values, *rest) in rows.items():
        yield f"header_{name}.safetensors", a.safetensors(header, values), *rest
    for length in (2**63, 2**64 - 1, 5000, 100_000_001):
        raw = a.safetensors({"w": one}, length=length)
        yield f"header_of_{length}.safetensors", raw, "reject", "not-a-checkpoint"
    yield "cut.safetensors", b"\x10\0", "reject"
    yield "good.safetensors", save(dict(state())), "accept"
    yield "safetensors_named.pt", save(dict(state())), "flag", "ending"
    yield "zip_named.safetensors", torched(state()), "flag", "ending"
    evil = pickle.dumps(a.Payload(folder / "PWNED" / "named"), 2)
    yield "pickle_named.safetensors", evil, "reject", "pickle-global", True


def looks(folder: Path) -> Rows:
    """Files that are something else."""
    page = b"<!DOCTYPE html><html><title>Sign in</title></html>"
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as out:
        info = tarfile.TarInfo("../PWNED/tar")
        info.size = 1
        out.addfile(info, io.BytesIO(b"x"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        out.addfile(link)
    array = io.BytesIO()
    np.save(array, np.ones(3))
    for name, raw, code in (
        ("nothing.pt", b"", "empty"),
        ("page.pth", page, "html"),
        ("page_after_space.pt", b"\n \xef\xbb\xbf" + page, "html"),
        ("denied.bin", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "html"),
        ("pointer.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "lfs"),
        ("tarred.tar", tar.getvalue(), "tar"),
        ("old.pt", tar.getvalue(), "tar"),
        ("gz.pt", gzip.compress(page), "compressed"),
        ("bz2.pt", bz2.compress(page), "compressed"),
        ("xz.pt", lzma.compress(page), "compressed"),
        ("zstd.pt", b"\x28\xb5\x2f\xfd" + bytes(40), "compressed"),
        ("array.npy", array.getvalue(), "npy"),
        ("keras.h5", b"\x89HDF\r\n\x1a\n" + bytes(40), "hdf5"),
        ("llama.bin", b"GGUF" + bytes(40), "gguf"),
        ("picture.pt", b"\x89PNG\r\n\x1a\n" + bytes(40), "image"),
        ("paper.pt", b"%PDF-1.7\n" + bytes(40), "document"),
        ("program.pt", b"\x7fELF" + bytes(40), "program"),
        ("setup.pt", b"MZ" + bytes(40), "program"),
        ("error.bin", b'{"error": "Repository not found"}', "text"),
        ("config.yaml", b"a: !!python/object/apply:os.system ['true']\n", "text"),
        ("laughs.yaml", b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "text"),
        ("hydra.yaml", b"model:\n  _target_: os.system\n", "text"),
        ("train.py", b"import os\n", "text"),
        ("noise.pt", np.random.default_rng(0).bytes(3000), "unknown-format"),
        ("zeros.pt", bytes(3000), "unknown-format"),
    ):  # fmt: skip
        yield name, raw, "reject", code


def weights(folder: Path) -> Rows:
    """Values and types that no trained encoder has."""
    name = "features.0.conv.weight"

    def changed(**new: Any) -> bytes:
        return torched(state() | {k.replace("__", "."): v for k, v in new.items()})

    conv = state()[name]
    for word, value, code in (
        ("nan", torch.where(conv > 2, torch.nan, conv), "not-finite"),
        ("inf", torch.where(conv > 2, torch.inf, conv), "not-finite"),
        ("zero", torch.zeros_like(conv), "all-zero"),
        ("half", conv.half(), "float16"),
        ("brain", conv.bfloat16(), "bfloat16"),
        ("double", conv.double(), "float64"),
    ):
        yield f"w_{word}.pt", torched(state() | {name: value}), "flag", code
        yield f"w_{word}.safetensors", save(dict(state() | {name: value})), "flag", code
    minus = state()["features.0.norm.running_var"] - 1
    yield "w_minus.pt", torched(state() | {"features.0.norm.running_var": minus}), "flag", "negative-variance"  # fmt: skip
    yield "w_int8.pt", torched(state() | {name: torch.ones(8, 3, 3, 3, dtype=torch.int8)}), "reject", "integer-weights"  # fmt: skip
    yield "w_complex.pt", torched(state() | {name: conv.to(torch.complex64)}), "reject", "dtype"
    sparse = {"classifier.weight": torch.eye(5, 8).to_sparse()}
    yield "w_sparse.pt", torched(state() | sparse), "reject", "tensor-kind"
    yield "w_meta.pt", torched({"w": torch.ones(3, device="meta")}), "reject", "tensor-kind"
    yield "w_bias.pt", torched(state() | {"classifier.bias": torch.ones(7)}), "flag", "odd-shape"
    for part in ("mean", "var"):
        less = state()
        del less[f"features.0.norm.running_{part}"]
        yield f"w_no_{part}.pt", torched(less), "reject", "missing-tensor"
    without = OrderedDict((k, v) for k, v in state().items() if "classifier" not in k)
    yield "w_no_head.pt", torched(without), "accept"
    yield "w_tied.pt", torched({"a.weight": conv, "b.weight": conv}), "accept"
    yield "w_parameters.pt", torched({"w": torch.nn.Parameter(conv)}), "accept"
    yield "w_in_a_list.pt", torched([state(), state(1)]), "reject", "no-tensors"
    yield "w_nothing.pt", torched(OrderedDict()), "reject", "no-tensors"
    yield "w_alone.pt", torched(conv), "reject", "no-tensors"
    yield "w_list.pt", torched([conv, conv]), "reject", "no-tensors"
    yield "w_text.pt", torched({"w": "hello"}), "reject", "no-tensors"
    yield "w_numbered.pt", torched({1: conv}), "reject", "keys"
    yield "w_none.pt", torched(None), "reject", "no-tensors"


def layouts(folder: Path) -> Rows:
    """How trainers wrap what they save."""
    plain = state()
    for prefix in ("module.", "_orig_mod.", "module._orig_mod.model.", "backbone.", "net.encoder."):
        raw = torched(OrderedDict((prefix + k, v) for k, v in plain.items()))
        yield f"l_{prefix}pt", raw, "accept"
    for key in ("state_dict", "model", "model_state_dict", "params", "teacher", "encoder", "net"):
        yield f"l_under_{key}.pth", torched({key: plain, "epoch": 3}), "accept"
    yield "l_rates.pt", torched({"module." + k: v for k, v in plain.items()} | {"lrs.0": torch.ones(3)}), "accept"  # fmt: skip
    yield "l_deep.pt", torched({"net": {"model": {"state_dict": plain}}}), "flag", "nested"
    yield "l_average.pth.tar", torched({"state_dict": plain, "ema": state(1)}), "flag", "choice"
    pair = {f"{w}.{k}": v for w in ("encoder_q", "encoder_k") for k, v in plain.items()}
    yield "l_pair.pt", torched(pair), "flag", "choice"
    yield "l_two.pt", torched({"left": plain, "right": state(1)}), "reject", "ambiguous-state"
    yield "l_collision.pt", torched({"module.lrs.0": torch.ones(2), "lrs.0": torch.ones(2)}), "reject", "prefix-collision"  # fmt: skip
    yield "l_optimizer.pt", torched({"optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}}), "reject", "no-tensors"  # fmt: skip
    lightning = {"pytorch-lightning_version": "2.4.0", "state_dict": plain, "hyper_parameters": {"lr": 0.1}, "optimizer_states": [], "callbacks": {}}  # fmt: skip
    yield "l_lightning.ckpt", torched(lightning), "accept"
    told = lightning | {"hyper_parameters": {"_instantiator": "os.system", "_target_": "os.system"}}
    yield "l_instantiator.ckpt", torched(told), "flag", "instructions"
    settings = argparse.Namespace(lr=0.1, out=PurePosixPath("a"))
    yield "l_namespace.ckpt", torched({"model": plain, "args": settings}), "flag", "opaque-settings"
    yield "l_numpy.ckpt", torched({"model": plain, "best": np.float64(0.5), "log": np.ones(3)}), "flag", "numpy-values"  # fmt: skip
    inside = argparse.Namespace(x=a.Payload(folder / "PWNED" / "inside"))
    yield "l_payload_in_settings.ckpt", torched({"model": plain, "args": inside}), "reject", "pickle-global", True  # fmt: skip
    config = a.named("omegaconf.dictconfig.DictConfig") + b")\x81}(" + a.word("_content") + b"}ub"
    body = a.table({"model": a.table({"w": a.tensor()}), "cfg": config})
    yield "l_omegaconf.ckpt", a.archive(body), "flag", "opaque-settings"
    for odd in ("=cmd|' /C calc'!A0", "<script>alert(1)</script>", "a\x1b[2J\x07", "\u202egpj", "| a |\n| b |", "n" * 5000):  # fmt: skip
        row = f"l_name_{len(odd)}_{ord(odd[0])}.pt", torched({odd: torch.ones(2)})
        yield *row, "flag" if not odd.isprintable() or len(odd) > 200 else "accept"


def folders(folder: Path) -> Rows:
    """Model folders that lead elsewhere or are not whole."""
    raw = save(dict(state()))

    def index(shards: Any) -> bytes:
        return json.dumps({"weight_map": shards}).encode()

    config = json.dumps({"model_type": "resnet", "auto_map": {"AutoModel": "evil.Evil"}}).encode()
    for name, parts, end, code in (
        ("f_good", {"model.safetensors": raw, "config.json": b"{}"}, "accept", None),
        ("f_code", {"model.safetensors": raw, "config.json": config, "evil.py": b"1/0"}, "flag", "instructions"),
        ("f_only_config", {"config.json": config}, "reject", "no-weights"),
        ("f_config_twice", {"model.safetensors": raw, "config.json": b'{"a":1,"a":2}'}, "reject", "damaged"),
        ("f_config_deep", {"model.safetensors": raw, "config.json": b"[" * 50_000}, "reject", "damaged"),
        ("f_config_noise", {"model.safetensors": raw, "config.json": b"\xff\xfe"}, "reject", "damaged"),
        ("f_config_wide", {"model.safetensors": raw, "config.json": b'{"a":[' + b"[]," * 3_000_000 + b"[]]}"}, "reject", "too-large"),
        ("f_shard_above", {"s": raw, "model.safetensors.index.json": index({"w": "../good.safetensors"})}, "reject", "path"),
        ("f_shard_absolute", {"s": raw, "model.safetensors.index.json": index({"w": "/etc/passwd"})}, "reject", "path"),
        ("f_shard_missing", {"s": raw, "model.safetensors.index.json": index({"w": "t"})}, "reject", "cannot-open"),
        ("f_shard_lies", {"s": raw, "model.safetensors.index.json": index({"w": "s"})}, "reject", "missing-tensor"),
        ("f_shard_is_index", {"model.safetensors.index.json": index({"w": "model.safetensors.index.json"})}, "reject", "text"),
        ("f_index_list", {"model.safetensors.index.json": b"[]"}, "reject", "index"),
        ("f_evil", {"pytorch_model.bin": pickle.dumps(a.Payload(folder / "PWNED" / "bin"), 2)}, "reject", "bare-pickle"),
        ("f_two", {"a.safetensors": raw, "b.safetensors": raw}, "reject", "no-weights"),
    ):  # fmt: skip
        for part, content in parts.items():
            (folder / name).mkdir(exist_ok=True)
            (folder / name / part).write_bytes(content)
        yield name, None, end, code
    for name, target in (("f_link_out", "../good.safetensors"), ("f_link_zero", "/dev/zero"), ("f_link_loop", "model.safetensors")):  # fmt: skip
        (folder / name).mkdir()
        (folder / name / "model.safetensors").symlink_to(target)
        yield name, None, "reject"
    (folder / "f_pipe").mkdir()
    os.mkfifo(folder / "f_pipe" / "model.safetensors")
    yield "f_pipe", None, "reject", "not-a-file"
    (folder / "f_nest" / "model.safetensors").mkdir(parents=True)
    yield "f_nest", None, "reject", "not-a-file"


def places(folder: Path) -> Rows:
    """Paths at which there is no file."""
    os.mkfifo(folder / "pipe.pt")
    yield "pipe.pt", None, "reject", "not-a-file"
    here = os.getcwd()
    os.chdir(folder)  # the name of a socket may be 108 bytes long
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket.pt")
    os.chdir(here)
    yield "socket.pt", None, "reject", "cannot-open"
    for name, target in (("zero.pt", "/dev/zero"), ("random.pt", "/dev/urandom"), ("gone.pt", "nowhere"), ("loop.pt", "loop.pt")):  # fmt: skip
        (folder / name).symlink_to(target)
        yield name, None, "reject"
    (folder / "link.pt").symlink_to("good.pt")
    yield "link.pt", None, "flag", "link"
    yield "absent.pt", None, "reject", "cannot-open"
    yield "n" * 300 + ".pt", None, "reject", "cannot-open"
