"""The pickle in a PyTorch file: rebuilding calls become views, settings stay words.

Only the functions that `torch.save` itself writes have a meaning, and each is stood for by
one of ours. Settings that travel with weights (argparse, OmegaConf, Lightning, pathlib …)
are kept uninterpreted and flagged. Any other name is refused: it would have to be imported
and called to mean anything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from ...data.errors import CheckpointError
from ...data.pickle_policy import Call, Global, Policy, described
from ...data.unpickle_plain import PLAIN_BUILDS, PLAIN_CALLS, PLAIN_NAMES
from .views import ITEM_BYTES, Storage, View, checked_view

STORAGE_TYPES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip
COMPLEX = ("ComplexFloatStorage", "ComplexDoubleStorage")
QUANTISED = (
    "QInt8Storage", "QUInt8Storage", "QInt32Storage", "QUInt4x2Storage", "QUInt2x4Storage",
    "qint8", "quint8", "qint32", "quint4x2", "quint2x4",
)  # fmt: skip
LAYOUTS = ("torch.strided", "torch.serialization._get_layout")
UNTYPED = "torch.storage.UntypedStorage"

ADVICE = (
    "whoever made it can save its tensors alone, with "
    '`safetensors.torch.save_file(model.state_dict(), "weights.safetensors")`'
)

SETTINGS = (
    "addict.", "argparse.Namespace", "box.", "datetime.", "decimal.Decimal", "easydict.",
    "builtins.Ellipsis", "builtins.range", "builtins.slice", "builtins.xrange", "enum.",
    "fvcore.common.config.", "lightning.", "lightning_fabric.", "lightning_utilities.",
    "ml_collections.", "numpy.random.", "omegaconf.", "pathlib.", "pytorch_lightning.", "types.SimpleNamespace",
    "typing.", "uuid.UUID", "yacs.config.", "torchmetrics.", "torch.torch_version.TorchVersion",
)  # fmt: skip
"""Families of settings that are found beside weights; nothing of them is imported or called."""

KINDS_REFUSED = {
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_sparse_csr_tensor": "sparse",
    "_rebuild_qtensor": "quantised",
    "_rebuild_meta_tensor_no_storage": "without data (meta)",
    "_rebuild_nested_tensor": "nested",
    "_rebuild_wrapper_subclass": "of a subclass",
    "_rebuild_device_tensor_from_numpy": "of another device",
}


DENSE = {
    "sparse": "call `.to_dense()` before saving",
    "quantised": "call `.dequantize()` before saving",
    "without data (meta)": "load its values before saving",
}


class Reader:
    """What a pickle's calls mean in one file, and what was noticed on the way.

    Args:
        where: What to call the file in an error.
        record: The bytes under a storage's key, to compare with what is declared; None where
            they come later in the file.
    """

    def __init__(self, where: str, record: Callable[[str], int] | None) -> None:
        self.where = where
        self.record = record
        self.storages: dict[str, Storage] = {}
        self.item_bytes: dict[str, int] = {}
        self.views: list[View] = []
        self.flags: dict[str, str] = {}

    def policy(self) -> Policy:
        """The policy of this file."""
        rebuild: Mapping[str, Call] = {
            "torch._utils._rebuild_tensor": self._tensor,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_tensor_v3": self._tensor,
            "torch._utils._rebuild_parameter": self._parameter,
            "torch._utils._rebuild_parameter_with_state": self._parameter,
            "torch._tensor._rebuild_from_type_v2": self._from_type,
            "torch.Size": lambda args: tuple(args[0]) if args else (),
            "torch.device": lambda args: ":".join(map(described, args)),
            "torch.nn.parameter.Parameter": self._parameter,
            "pathlib.PurePosixPath": lambda args: "/".join(map(described, args)),
        }
        plain = {n: self._noted(c) if n.startswith("numpy.") else c for n, c in PLAIN_CALLS.items()}
        refused = {f"torch._utils.{name}": self._refused(name) for name in KINDS_REFUSED}
        refused["torch.serialization._get_layout"] = self._refused("_rebuild_sparse_tensor")
        types = {f"torch.{name}" for name in (*STORAGE_TYPES, *ITEM_BYTES, "Tensor", "FloatTensor")}
        return Policy(
            purpose="file of weights",
            calls={**plain, **rebuild, **refused},
            names=PLAIN_NAMES | types | {UNTYPED, *LAYOUTS},
            opaque=lambda name: name.startswith(SETTINGS),
            builds={**PLAIN_BUILDS, View: self._attributes, OrderedDict: self._ordered_state},
            persistent=self._storage,
            refusal=self._refusal,
            cycles=True,
            most_steps=8_000_000,
        )

    def _noted(self, call: Call) -> Call:
        def noted(args: tuple[Any, ...]) -> Any:
            self.flags["numpy-values"] = "carries NumPy values beside its weights; they are words"
            return call(args)

        return noted

    def _refusal(self, name: str) -> CheckpointError:
        if name.removeprefix("torch.") in COMPLEX:
            return CheckpointError(
                f"{self.where!r} holds complex tensors; weights of floats are measured",
                code="dtype",
            )
        if name.removeprefix("torch.") in QUANTISED:
            return CheckpointError(
                f"{self.where!r} holds tensors that are quantised; dense tensors of floats are "
                "read, so call `.dequantize()` before saving",
                code="tensor-kind",
            )
        if name.startswith(("torch.nn.", "torchvision.models.", "timm.models.", "transformers.")):
            return CheckpointError(
                f"{self.where!r} is a pickled model: it names the class {name!r}, which would "
                f"have to be imported and called; nothing was run, and {ADVICE}",
                code="whole-model",
            )
        return CheckpointError(
            f"{self.where!r} is a pickle that names {name!r}, which no file of weights needs; "
            f"nothing was run, and {ADVICE}",
            code="pickle-global",
        )

    def _refused(self, name: str) -> Call:
        def refuse(args: tuple[Any, ...]) -> Any:
            raise CheckpointError(
                f"{self.where!r} holds a tensor that is {KINDS_REFUSED[name]}; dense tensors are "
                f"read, so {DENSE.get(KINDS_REFUSED[name], 'save it as a plain one')}",
                code="tensor-kind",
            )

        return refuse

    def _storage(self, reference: Any) -> tuple[Storage, str]:
        """A storage and the type of its values, from ``("storage", type, key, place, count)``."""
        if type(reference) is tuple and reference[:1] == ("module",):
            raise CheckpointError(
                f"{self.where!r} is a pickled model with the source of its classes; nothing was "
                f"run, and {ADVICE}",
                code="whole-model",
            )
        kind, of, key, _, count, *rest = reference
        if kind != "storage" or type(of) is not Global or any(part is not None for part in rest):
            raise ValueError("a reference to something that is no storage")
        dtype = "uint8" if of.name == UNTYPED else STORAGE_TYPES[of.name.removeprefix("torch.")]
        if type(key) not in (str, int):  # text of nested containers can be endless
            raise ValueError("a storage under a key that is no word")
        key = str(key)
        if type(count) is not int or not 0 <= count < 2**48:
            raise CheckpointError(
                f"{self.where!r} declares {described(count)} values in record {key[:60]!r}",
                code="size",
            )
        found = Storage(key, count * ITEM_BYTES[dtype])
        known = self.storages.setdefault(key, found)
        self.item_bytes.setdefault(key, ITEM_BYTES[dtype])
        stored = known.size if self.record is None else self.record(key)
        if stored != found.size:
            raise CheckpointError(
                f"{self.where!r} declares {found.size} bytes in record {key!r}, which holds "
                f"{stored}",
                code="size",
            )
        return known, dtype

    def _tensor(self, args: tuple[Any, ...]) -> View:
        (storage, dtype), offset, shape, stride, *rest = args
        if len(rest) > 1 and rest[1]:
            self.flags["hooks"] = "tensors carry backward hooks, which were left out"
        if len(rest) > 2 and type(rest[2]) is Global:  # the third version names its type
            dtype = rest[2].name.removeprefix("torch.")
            if dtype not in ITEM_BYTES:
                raise CheckpointError(
                    f"{self.where!r} holds a tensor of {dtype!r}, which is not read", code="dtype"
                )
        if type(storage) is not Storage:
            raise ValueError("a tensor without a storage")
        view = checked_view(storage, dtype, shape, stride, offset, self.where)
        self.views.append(view)
        return view

    def _parameter(self, args: tuple[Any, ...]) -> View:
        view, *rest = args
        if type(view) is not View:
            raise ValueError("a parameter without a tensor")
        if len(rest) > 1 and rest[1]:
            self.flags["hooks"] = "tensors carry backward hooks, which were left out"
        if len(rest) > 2 and rest[2]:
            self.flags["attributes"] = "tensors carry attributes, which were left out"
        return view

    def _from_type(self, args: tuple[Any, ...]) -> View:
        function, _, inner, state = args
        if type(function) is not Global or function.name not in (
            "torch._utils._rebuild_tensor",
            "torch._utils._rebuild_tensor_v2",
            "torch._utils._rebuild_tensor_v3",
        ):
            raise CheckpointError(
                f"{self.where!r} holds a tensor of a subclass; plain tensors are read",
                code="tensor-kind",
            )
        if state:
            self.flags["attributes"] = "tensors carry attributes, which were left out"
        return self._tensor(inner)

    def _attributes(self, view: View, state: Any) -> None:
        self.flags["attributes"] = "tensors carry attributes, which were left out"

    def _ordered_state(self, target: OrderedDict[Any, Any], state: Any) -> None:
        if not (isinstance(state, dict) and set(state) <= {"_metadata"}):
            self.flags["attributes"] = "a dictionary carries attributes, which were left out"
