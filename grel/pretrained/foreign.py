"""Arrays out of other programs' checkpoints: `.safetensors`, and PyTorch's `.bin` and `.pt`.

A PyTorch file is a pickle, a program that may call anything; both loaders that PyTorch called safe
were bypassed. Here nothing in it is ever run: the few opcodes that a state dict is made of are
interpreted, names stand for themselves, and a "call" of one of four known names makes a description
of a tensor. Only once every description fits the bytes that are there does numpy see them. Whatever
else a file asks for is refused, in one line. No entry is compressed and no tensor is larger than
its storage, so memory is bounded by the size of the file.
"""

from __future__ import annotations

import io
import math
import os
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import safetensors

from grel.errors import UserError


class ForeignError(UserError):
    """A file that is damaged, of an unknown format or up to something: names it and the reason."""


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Every tensor of a file, by name: read-only arrays, of which tied ones share their memory.

    The content decides the format, not the suffix: safetensors, PyTorch's zip format or the one
    that it wrote before version 1.6. float16 and bfloat16 come back as float32, other types as
    they are.

    Raises ForeignError where the file cannot be read or asks for anything but tensors.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise ForeignError("not a regular file")  # a pipe would block, a device never ends
        with path.open("rb") as file:
            start = file.read(9)
            file.seek(0)
            # First, as the length of a header may begin like the other two.
            if _begins_safetensors(start, os.fstat(file.fileno()).st_size):
                return _read_safetensors(file)
            if start.startswith(b"PK"):
                return _read_zip(file)
            if start.startswith(b"\x80"):
                return _read_legacy(file)
            if path.suffix == ".safetensors":
                return _read_safetensors(file)  # which says what is wrong with it
            raise ForeignError("neither safetensors nor a PyTorch checkpoint")
    except ForeignError as error:
        raise ForeignError(f"{path}: {str(error)[:400]}") from None
    except OSError as error:
        raise ForeignError(f"{path}: {error.strerror or error}") from error


_MAX_DIMENSIONS = 8

# PyTorch's name of a storage type, and of safetensors' types, -> numpy's type in the file.
_BFLOAT16 = "bfloat16"
_STORAGES = {
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": _BFLOAT16,
    "torch.DoubleStorage": "<f8",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "<i1",
    "torch.ByteStorage": "<u1",
    "torch.BoolStorage": "|b1",
}
_SAFETENSORS = {
    **{"F32": "<f4", "F16": "<f2", "BF16": _BFLOAT16, "F64": "<f8", "BOOL": "|b1"},
    **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U8": "<u1"},
}
_ITEM_SIZES = {
    dtype: 2 if dtype == _BFLOAT16 else np.dtype(dtype).itemsize for dtype in _STORAGES.values()
}


def _decode(data: bytes | memoryview, dtype: str) -> np.ndarray:
    """A flat array of what lies in `data`."""
    if dtype == _BFLOAT16:
        # A bfloat16 is the upper half of a float32.
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    array = np.frombuffer(data, dtype)
    return array.astype(np.float32) if dtype == "<f2" else array


def _begins_safetensors(start: bytes, file_size: int) -> bool:
    """Whether a length of eight bytes, which the file has, stands before an object of JSON."""
    return start[8:] == b"{" and struct.unpack_from("<Q", start)[0] < file_size


def _read_safetensors(file: BinaryIO) -> dict[str, np.ndarray]:
    try:
        # Checks sizes, offsets and overlaps; the package's numpy front end knows no bfloat16.
        entries = safetensors.deserialize(file.read())
    except safetensors.SafetensorError as error:
        raise ForeignError(f"damaged safetensors file ({error})") from error
    arrays = {}
    for name, entry in entries:
        if entry["dtype"] not in _SAFETENSORS:
            raise ForeignError(f"tensor {name!r} is of the unsupported type {entry['dtype']}")
        if len(entry["shape"]) > _MAX_DIMENSIONS:
            raise ForeignError(f"tensor {name!r} has {len(entry['shape'])} dimensions")
        array = _decode(entry["data"], _SAFETENSORS[entry["dtype"]]).reshape(entry["shape"])
        array.flags.writeable = False
        arrays[name] = array
    return arrays


class _Global(NamedTuple):
    """A name that the pickle refers to; it is compared, never imported."""

    name: str


class _Storage(NamedTuple):
    """A run of numbers that tensors are views of."""

    dtype: str
    key: str
    size: int


class _Tensor(NamedTuple):
    """A tensor as the pickle describes it; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    counts = [offset, *shape, *strides] if type(shape) is type(strides) is tuple else [None]
    if type(storage) is not _Storage or not all(map(_is_count, counts)):
        raise ForeignError("a tensor is described by something else than sizes")
    if len(shape) != len(strides) or len(shape) > _MAX_DIMENSIONS:
        raise ForeignError(f"a tensor has {len(shape)} sizes and {len(strides)} strides")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    # More elements than the storage has would be a few numbers repeated without end.
    if 0 in shape or max(math.prod(shape), last + 1) > storage.size:
        raise ForeignError(
            f"a tensor of shape {shape} does not fit its storage of {storage.size} elements"
        )
    return _Tensor(storage, offset, shape, strides)


def _parameter(tensor: Any, *_: Any) -> _Tensor:
    if type(tensor) is not _Tensor:
        raise ForeignError("a parameter holds something else than a tensor")
    return tensor


# What a pickle may "call", and what that makes here.
_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": lambda: {},
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}


def _global(module: Any, name: Any) -> _Global:
    full = f"{module}.{name}" if type(module) is type(name) is str else ""
    if full not in _CALLS and full not in _STORAGES:
        raise ForeignError(f"it asks for {full!r}, which no tensor needs; nothing was run")
    return _Global(full)


def _call(function: Any, arguments: Any) -> Any:
    if type(function) is not _Global or function.name not in _CALLS or type(arguments) is not tuple:
        raise ForeignError("it calls something that is no tensor; nothing was run")
    return _CALLS[function.name](*arguments)


def _persistent(saved_id: Any) -> _Storage:
    """The storage that ("storage", type, key, device, size, view) stands for."""
    if type(saved_id) is not tuple or len(saved_id) not in (5, 6) or saved_id[0] != "storage":
        raise ForeignError("a storage is not described as PyTorch does")
    _, kind, key, _, size, *view = saved_id
    if type(kind) is not _Global or kind.name not in _STORAGES:
        raise ForeignError("a storage has no known type")
    if type(key) is not str or not re.fullmatch(r"[0-9A-Za-z_]+", key) or not _is_count(size):
        raise ForeignError("a storage has a key or a size that PyTorch does not write")
    if view not in ([], [None]):
        raise ForeignError("a storage is a view of another, which PyTorch wrote before version 0.4")
    return _Storage(_STORAGES[kind.name], key, size)


_LITERALS = {
    *("BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINSTRING", "SHORT_BINSTRING"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


def _run(stream: io.BytesIO) -> Any:
    """What the pickle at the stream's position says; leaves the stream after it.

    It is made of dicts with str keys, lists, tuples, numbers, strings and the tuples above. Nothing
    but strings is hashed and nothing is copied, so that no short pickle makes long work.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        mark = marks.pop()
        values = stack[mark:]
        del stack[mark:]
        return values

    def pop(count: int) -> list[Any]:
        if len(stack) < count + (marks[-1] if marks else 0):
            raise IndexError
        values = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        return values

    argument: Any  # of a type that the opcode says
    for opcode, argument, _ in pickletools.genops(stream):
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case name if name in _LITERALS:
                stack.append(argument)
            case name if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(pop(int(opcode.name[-1]))))
            case "APPEND":
                _extend(stack, pop(1))
            case "APPENDS":
                _extend(stack, since_mark())
            case "SETITEM":
                _update(stack, pop(2))
            case "SETITEMS":
                _update(stack, since_mark())
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_global(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                stack.append(_global(*pop(2)))
            case "BINPERSID":
                stack.append(_persistent(*pop(1)))
            case "REDUCE":
                stack.append(_call(*pop(2)))
            case "BUILD":
                # The attributes of a state dict: versions of PyTorch's modules, not tensors.
                pop(1)
                if type(stack[-1]) is not dict:
                    raise ForeignError("it sets attributes of something; nothing was run")
            case "STOP":
                return stack.pop()
            case name:
                raise ForeignError(f"it has the pickle opcode {name}, which no tensor needs")
    raise IndexError


def _extend(stack: list[Any], values: list[Any]) -> None:
    if type(stack[-1]) is not list:
        raise ForeignError("it appends to something that is no list")
    stack[-1].extend(values)


def _update(stack: list[Any], flat: list[Any]) -> None:
    target = stack[-1]
    keys = flat[::2]
    if type(target) is not dict or not all(type(key) is str for key in keys):
        raise ForeignError("it fills a dict with something else than names and values")
    target.update(zip(keys, flat[1::2], strict=True))


def _interpret(stream: io.BytesIO) -> Any:
    try:
        return _run(stream)
    except ForeignError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        # An interpreter's many ways to find that what it reads is no whole pickle.
        raise ForeignError(f"damaged or truncated pickle ({error!r})") from error


# State dicts of the largest models take some hundred kB; what follows in a legacy file is numbers.
_MAX_PICKLE = 1 << 24


def _views(state: Any, load: Callable[[_Storage], np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of a state dict as views of their storages, each of which is loaded once."""
    if type(state) is not dict:
        raise ForeignError("it holds no dict of tensors")
    for name, tensor in state.items():
        if type(tensor) is not _Tensor:
            raise ForeignError(f"entry {name!r} is no tensor: only a plain state dict can be read")
    storages = {tensor.storage for tensor in state.values()}
    if len({storage.key for storage in storages}) < len(storages):
        raise ForeignError("a storage is described in two ways")
    loaded = {storage: load(storage) for storage in sorted(storages)}
    arrays = {}
    for name, (storage, offset, shape, strides) in state.items():
        flat = loaded[storage]
        steps = tuple(stride * flat.itemsize for stride in strides)
        arrays[name] = np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=False)
    return arrays


def _read_zip(file: BinaryIO) -> dict[str, np.ndarray]:
    file_size = os.fstat(file.fileno()).st_size
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            names = {entry.filename: entry for entry in entries}
            # PyTorch stores entries as they are; anything else is somebody's trick.
            if len(names) < len(entries):
                raise ForeignError("two entries have one name")
            for entry in entries:
                if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                    raise ForeignError(f"entry {entry.filename!r} is compressed or encrypted")
            if sum(entry.file_size for entry in entries) > file_size:
                raise ForeignError("its entries are declared larger than the file")
            found = [n for n in names if re.fullmatch(r"[^/\\]+/data\.pkl", n)]
            if len(found) != 1:
                raise ForeignError("a zip file, but no PyTorch checkpoint (no data.pkl)")
            root = found[0].removesuffix("/data.pkl")
            if names[found[0]].file_size > _MAX_PICKLE:
                raise ForeignError(f"its data.pkl has more than {_MAX_PICKLE} bytes")
            order = f"{root}/byteorder"
            if order in names and archive.read(order) != b"little":
                raise ForeignError("its numbers are not little-endian")

            def load(storage: _Storage) -> np.ndarray:
                entry = names.get(f"{root}/data/{storage.key}")
                if entry is None:
                    raise ForeignError(f"storage {storage.key} is missing")
                size = storage.size * _ITEM_SIZES[storage.dtype]
                if entry.file_size != size:
                    raise ForeignError(
                        f"storage {storage.key} has {entry.file_size} bytes, not {size}"
                    )
                return _decode(archive.read(entry), storage.dtype)

            return _views(_interpret(io.BytesIO(archive.read(found[0]))), load)
    except (zipfile.BadZipFile, EOFError, RuntimeError, UnicodeDecodeError) as error:
        raise ForeignError(f"damaged or truncated zip file ({error})") from error


_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


def _read_legacy(file: BinaryIO) -> dict[str, np.ndarray]:
    """The format before PyTorch 1.6: five pickles, then for each storage its size and numbers."""
    file_size = os.fstat(file.fileno()).st_size
    stream = io.BytesIO(file.read(_MAX_PICKLE))
    if (_interpret(stream), _interpret(stream)) != (_LEGACY_MAGIC, _LEGACY_PROTOCOL):
        raise ForeignError("a pickle, but no PyTorch checkpoint")
    system = _interpret(stream)
    if type(system) is not dict or system.get("little_endian") is not True:
        raise ForeignError("its numbers are not little-endian")
    state, keys = _interpret(stream), _interpret(stream)
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise ForeignError("it does not list its storages")
    if type(state) is not dict:
        raise ForeignError("it holds no dict of tensors")
    sizes = {t.storage.key: t.storage for t in state.values() if type(t) is _Tensor}
    starts = {}
    position = stream.tell()
    for key in keys:
        if key not in sizes or key in starts:
            raise ForeignError(f"no tensor, or a second one, has the storage {key!r}")
        file.seek(position)
        header = file.read(8)
        if len(header) < 8 or struct.unpack("<q", header)[0] != sizes[key].size:
            raise ForeignError(f"truncated, or storage {key} is not of {sizes[key].size} elements")
        starts[key] = position + 8
        position += 8 + sizes[key].size * _ITEM_SIZES[sizes[key].dtype]
        if position > file_size:
            raise ForeignError(f"truncated in storage {key}")

    def load(storage: _Storage) -> np.ndarray:
        if storage.key not in starts:
            raise ForeignError(f"storage {storage.key} is missing")
        file.seek(starts[storage.key])
        return _decode(file.read(storage.size * _ITEM_SIZES[storage.dtype]), storage.dtype)

    return _views(state, load)
