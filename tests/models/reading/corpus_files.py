"""Hostile and awkward files: broken headers, other formats, odd weights, layouts, folders, places."""

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
import tarfile
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from . import assembler as a
from .corpus_parts import Rows, state, torched


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
