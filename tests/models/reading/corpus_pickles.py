"""Hostile pickles: programs, texts without end, odd containers, tensors that are not there."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
from pathlib import Path

import torch

from . import assembler as a
from .corpus_parts import STAMP, Rows, state, torched


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
