"""Foreign checkpoints: good ones read exactly, hostile and damaged ones refused in one line."""

import collections
import importlib.util
import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from grel.pretrained import foreign
from grel.pretrained.foreign import ForeignError

HAS_TORCH = importlib.util.find_spec("torch") is not None
FLOAT = np.arange(24, dtype=np.float32).reshape(4, 6)
KINDS = {"<f4": "Float", "<f2": "Half", "<u2": "BFloat16", "<i8": "Long", "|b1": "Bool"}


def _global(module, name):
    """Something that pickles as a reference to `module.name`, without PyTorch being there."""
    module = importlib.import_module(module)
    if not hasattr(module, name):
        made = type(name, (), {"__module__": module.__name__})
        setattr(module, name, made)
    return getattr(module, name)


class _Tensor:
    """Pickles as PyTorch's tensors do."""

    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return _global("torch._utils", "_rebuild_tensor_v2"), self.arguments


class _Parameter:
    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce__(self):
        rebuild = _global("torch._utils", "_rebuild_parameter")
        return rebuild, (self.tensor, True, collections.OrderedDict())


class _Storage:
    """Numbers that tensors are views of; `claim` is how many elements the pickle says."""

    def __init__(self, key, array, claim=None):
        self.key, self.array = key, array
        self.claim = array.size if claim is None else claim


class _Pickler(pickle.Pickler):
    legacy = False

    def persistent_id(self, obj):
        if isinstance(obj, _Storage):
            kind = _global("torch", KINDS[obj.array.dtype.str] + "Storage")
            return ("storage", kind, obj.key, "cpu", obj.claim, *([None] * self.legacy))
        return None


@pytest.fixture(autouse=True)
def _names_of_pytorch(monkeypatch):
    """Modules to hold PyTorch's names where it is not installed."""
    if not HAS_TORCH:
        for name in ("torch", "torch._utils"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))


def _dumps(obj, legacy=False, protocol=2):
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, protocol)
    pickler.legacy = legacy
    pickler.dump(obj)
    return buffer.getvalue()


def _whole(storage, array):
    strides = tuple(s // array.itemsize for s in array.strides)
    return _Tensor(storage, 0, array.shape, strides)


def _write_zip(path, program, storages=(), compression=zipfile.ZIP_STORED, root="archive"):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", program)
        archive.writestr(f"{root}/byteorder", "little")
        for storage in storages:
            archive.writestr(f"{root}/data/{storage.key}", storage.array.tobytes())
    return path


def _legacy_bytes(state, storages, system=None):
    system = {"protocol_version": 1001, "little_endian": True} if system is None else system
    parts = [pickle.dumps(foreign._LEGACY_MAGIC, 2), pickle.dumps(1001, 2)]
    parts += [pickle.dumps(system, 2), _dumps(state, legacy=True)]
    parts.append(pickle.dumps([s.key for s in storages], 2))
    for storage in storages:
        parts.append(struct.pack("<q", storage.array.size) + storage.array.tobytes())
    return b"".join(parts)


def _write_legacy(path, state, storages):
    path.write_bytes(_legacy_bytes(state, storages))
    return path


def _write(kind, path, state, storages):
    if kind == "zip":
        return _write_zip(path, _dumps(state), storages)
    return _write_legacy(path, state, storages)


def _everything():
    """A state dict with what real ones have: views, ties, halves, integers, parameters."""
    whole = _Storage("0", FLOAT)
    half = _Storage("1", FLOAT.astype(np.float16))
    # The upper halves of float32 numbers that bfloat16 holds exactly.
    brain = _Storage("2", (FLOAT.view(np.uint32) >> 16).astype(np.uint16))
    ids = _Storage("3", np.arange(5))
    state = collections.OrderedDict(
        whole=_whole(whole, FLOAT),
        tied=_whole(whole, FLOAT),
        parameter=_Parameter(_whole(whole, FLOAT)),
        rows=_Tensor(whole, 6, (2, 6), (6, 1)),
        transposed=_Tensor(whole, 0, (6, 4), (1, 6)),
        scalar=_Tensor(whole, 23, (), ()),
        half=_whole(half, FLOAT.astype(np.float16)),
        brain=_Tensor(brain, 0, (4, 6), (6, 1)),
        ids=_Tensor(ids, 0, (5,), (1,)),
    )
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    return state, [whole, half, brain, ids]


EXPECTED = {
    "whole": FLOAT,
    "tied": FLOAT,
    "parameter": FLOAT,
    "rows": FLOAT[1:3],
    "transposed": FLOAT.T,
    "scalar": FLOAT[3, 5],
    "half": FLOAT,
    "brain": FLOAT,
    "ids": np.arange(5),
}


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_what_pytorch_writes_is_read_exactly(kind, tmp_path):
    arrays = foreign.read(_write(kind, tmp_path / "model.bin", *_everything()))
    assert arrays.keys() == EXPECTED.keys()
    for name, expected in EXPECTED.items():
        np.testing.assert_array_equal(arrays[name], expected, strict=True)
    assert np.shares_memory(arrays["whole"], arrays["tied"])
    with pytest.raises(ValueError, match="read-only"):
        arrays["whole"][0, 0] = 1


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_binary_pickle_protocol(protocol, tmp_path):
    state, storages = _everything()
    path = _write_zip(tmp_path / "m.bin", _dumps(state, protocol=protocol), storages)
    assert foreign.read(path).keys() == EXPECTED.keys()


def test_safetensors_with_both_kinds_of_halves(tmp_path):
    path = tmp_path / "model.safetensors"
    arrays = {"a": FLOAT, "h": FLOAT.astype(np.float16), "i": np.arange(5)}
    safetensors.numpy.save_file(arrays, path)
    found = foreign.read(path)
    np.testing.assert_array_equal(found["a"], FLOAT, strict=True)
    np.testing.assert_array_equal(found["h"], FLOAT, strict=True)
    np.testing.assert_array_equal(found["i"], np.arange(5), strict=True)
    data = (FLOAT.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    entry = {"dtype": "BF16", "shape": [4, 6], "data_offsets": [0, len(data)]}
    header = json.dumps({"b": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    np.testing.assert_array_equal(foreign.read(path)["b"], FLOAT, strict=True)


@pytest.mark.parametrize("start", [b"", b"\x80\x02", b"PK"])
def test_the_content_decides_the_format_and_not_the_suffix(start, tmp_path):
    """A header of safetensors may be as long as a number that begins like another format."""
    path = tmp_path / "model.bin"
    safetensors.numpy.save_file({"a": FLOAT}, path)
    length, data = struct.unpack("<Q", path.read_bytes()[:8])[0], path.read_bytes()[8:]
    longer = struct.unpack("<Q", (start + b"\1").ljust(8, b"\0"))[0] if start else length
    blanks = b" " * (longer - length)
    path.write_bytes(struct.pack("<Q", longer) + data[:length] + blanks + data[length:])
    assert path.read_bytes().startswith(start)
    np.testing.assert_array_equal(foreign.read(path)["a"], FLOAT, strict=True)
    for kind in ("zip", "legacy"):
        path = _write(kind, tmp_path / f"{kind}.safetensors", *_everything())
        assert foreign.read(path).keys() == EXPECTED.keys()


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
def test_what_real_pytorch_writes(tmp_path):
    torch = importlib.import_module("torch")
    whole = torch.from_numpy(FLOAT.copy())
    state = collections.OrderedDict(
        whole=whole,
        tied=whole,
        parameter=torch.nn.Parameter(whole),
        rows=whole[1:3],
        transposed=whole.t(),
        scalar=whole[3, 5],
        half=whole.half(),
        brain=whole.bfloat16(),
        ids=torch.arange(5),
    )
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    for zipped in (True, False):
        torch.save(state, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
        arrays = foreign.read(tmp_path / "m.pt")
        for name, expected in EXPECTED.items():
            np.testing.assert_array_equal(arrays[name], expected, strict=True)


class _Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _refused(path, reason):
    with pytest.raises(ForeignError, match=reason) as caught:
        foreign.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


def _calls(target):
    import os

    return {
        "system": _Calls(os.system, f"touch {target}"),
        "eval": _Calls(eval, f"open({str(target)!r}, 'w')"),
        "open": _Calls(open, str(target), "w"),
        "getattr": _Calls(getattr, collections.OrderedDict, "fromkeys"),
        "numpy": _Calls(np.load, str(target)),
    }


@pytest.mark.parametrize("kind", ["zip", "legacy"])
@pytest.mark.parametrize("call", ["system", "eval", "open", "getattr", "numpy"])
def test_calls_are_refused_and_not_made(kind, call, tmp_path):
    target = tmp_path / "made"
    state = {"weight": _calls(target)[call]}
    _refused(_write(kind, tmp_path / "evil.bin", state, []), "asks for .* nothing was run")
    assert not target.exists()


def test_the_legacy_header_may_call_nothing_either(tmp_path):
    target = tmp_path / "made"
    path = tmp_path / "evil.bin"
    path.write_bytes(pickle.dumps(_calls(target)["system"], 2))
    _refused(path, "asks for")
    path.write_bytes(_legacy_bytes({}, [], system=_calls(target)["open"]))
    _refused(path, "asks for")
    assert not target.exists()


HOSTILE_PICKLES = {
    "calls through INST": (b"(S'true'\nios\nsystem\n.", "opcode"),
    "an object": (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "opcode NEWOBJ"),
    "a registered extension": (b"\x80\x02\x82\x01.", "opcode EXT1"),
    "calls a storage type": (b"\x80\x02ctorch\nFloatStorage\n)R.", "calls something"),
    "attributes of a name": (b"\x80\x02ccollections\nOrderedDict\n}b.", "sets attributes"),
    "a dotted name": (b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.", "asks for"),
    "a name that is no string": (b"\x80\x04))\x93.", "asks for"),
    "a number as key": (b"\x80\x02}K\x01K\x02s.", "fills a dict"),
    "a dict as list": (b"\x80\x02}K\x01a.", "appends to"),
    "an empty stack": (b"\x80\x02s.", "truncated"),
    "marks without end": (b"\x80\x02t.", "truncated"),
    "no end": (b"\x80\x02}", "truncated"),
    "a memo from nowhere": (b"\x80\x02h\x05.", "truncated"),
    "a string of two gigabytes": (b"\x80\x02X\xff\xff\xff\x7fabc.", "truncated"),
    "a list": (b"\x80\x02].", "no dict of tensors"),
    "a number for a tensor": (b"\x80\x02}X\x01\x00\x00\x00aK\x01s.", "only a plain state dict"),
    "a strange storage": (b"\x80\x02K\x01Q.", "as PyTorch does"),
    "no pickle": (b"\x80\x02\xff\xff", "truncated"),
}


@pytest.mark.parametrize("case", HOSTILE_PICKLES)
def test_hostile_pickles(case, tmp_path):
    program, reason = HOSTILE_PICKLES[case]
    _refused(_write_zip(tmp_path / "evil.bin", program), reason)


def test_short_pickles_cannot_make_long_work(tmp_path):
    # A memo number of two thousand million; tuples nested so that hashing them takes for ever, and
    # so deep that hashing them overflows the stack of C.
    program = b"\x80\x02}r\xff\xff\xff\x7f."
    assert foreign.read(_write_zip(tmp_path / "memo.bin", program)) == {}
    twice = b"K\x01" + b"q\x00h\x00\x86" * 64
    deep = b")" + b"\x85" * 100_000
    for nested in (twice, deep):
        program = b"\x80\x02}" + nested + b"K\x01s."
        _refused(_write_zip(tmp_path / "nested.bin", program), "fills a dict")
        program = b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + nested
        program += b"X\x03\x00\x00\x00cpuK\x01tQ."
        _refused(_write_zip(tmp_path / "nested.bin", program), "a key or a size")


@pytest.mark.parametrize("kind", ["zip", "legacy"])
@pytest.mark.parametrize(
    ("offset", "shape", "strides", "reason"),
    [
        (0, (4, 7), (7, 1), "does not fit its storage of 24"),
        (1, (4, 6), (6, 1), "does not fit"),
        (0, (2, 2), (23, 1), "does not fit"),
        (0, (1 << 40,), (0,), "does not fit"),
        (0, (25,), (0,), "does not fit"),
        (0, (0, 1 << 62), (1, 1), "does not fit"),
        (-1, (1,), (1,), "something else than sizes"),
        (0, (2,), (-1,), "something else than sizes"),
        (0, (True,), (1,), "something else than sizes"),
        (0, (2.0,), (1,), "something else than sizes"),
        (0, [2], (1,), "something else than sizes"),
        (0, (2, 2), (1,), "2 sizes and 1 strides"),
        (0, (1,) * 9, (1,) * 9, "9 sizes"),
    ],
)
def test_views_beyond_the_storage(kind, offset, shape, strides, reason, tmp_path):
    storage = _Storage("0", FLOAT)
    state = {"w": _Tensor(storage, offset, shape, strides)}
    _refused(_write(kind, tmp_path / "evil.bin", state, [storage]), reason)


@pytest.mark.parametrize("claim", [23, 25, 1 << 50])
def test_storages_of_another_size_than_claimed(claim, tmp_path):
    storage = _Storage("0", FLOAT, claim=claim)
    state = {"w": _Tensor(storage, 0, (1,), (1,))}
    _refused(_write("zip", tmp_path / "a.bin", state, [storage]), "storage 0 has 96 bytes, not")
    _refused(_write("legacy", tmp_path / "b.bin", state, [storage]), "truncated, or storage 0 is")


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_storages_that_are_missing_or_described_twice(kind, tmp_path):
    storage = _Storage("0", FLOAT)
    state = {"w": _whole(storage, FLOAT)}
    _refused(_write(kind, tmp_path / "m.bin", state, []), "storage 0 is missing")
    state["v"] = _Tensor(_Storage("0", np.arange(12)), 0, (1,), (1,))
    _refused(_write(kind, tmp_path / "m.bin", state, [storage]), "two ways|storage 0 is not of")


@pytest.mark.parametrize("key", ["../0", "/etc/passwd", "..", "a/b", "a\\b", ""])
def test_path_tricks_in_keys(key, tmp_path):
    storage = _Storage(key, FLOAT)
    state = {"w": _whole(storage, FLOAT)}
    path = _write_zip(tmp_path / "evil.bin", _dumps(state), [storage])
    _refused(path, "a key or a size")
    assert [p.name for p in tmp_path.rglob("*")] == ["evil.bin"]


def test_zip_bombs_and_doubles(tmp_path):
    storage = _Storage("0", np.zeros(1 << 20, np.float32))
    program = _dumps({"w": _whole(storage, storage.array)})
    path = _write_zip(tmp_path / "bomb.bin", program, [storage], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 16
    _refused(path, "compressed or encrypted")
    # Many entries that share the same bytes: the directory is all that grows.
    path = _write_zip(tmp_path / "overlap.bin", program, [storage])
    with zipfile.ZipFile(path, "a") as archive:
        one = archive.getinfo("archive/data/0")
        for n in range(1, 4):
            fake = zipfile.ZipInfo(f"archive/data/{n}")
            for field in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(fake, field, getattr(one, field))
            archive.filelist.append(fake)
            archive.NameToInfo[fake.filename] = fake
        archive._didModify = True
    _refused(path, "declared larger than the file")
    path = _write_zip(tmp_path / "double.bin", program, [storage])
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data/0", b"")
    _refused(path, "two entries have one name")


def test_zip_files_that_are_something_else(tmp_path):
    path = tmp_path / "other.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    _refused(path, "no PyTorch checkpoint")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a/data.pkl", b"")
        archive.writestr("b/data.pkl", b"")
    _refused(path, "no PyTorch checkpoint")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/byteorder", b"big")
    _refused(path, "little-endian")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_truncated_anywhere(kind, tmp_path):
    if kind == "safetensors":
        path = tmp_path / "model.safetensors"
        safetensors.numpy.save_file({"a": FLOAT}, path)
    else:
        path = _write(kind, tmp_path / "model.bin", *_everything())
    data = path.read_bytes()
    for size in range(0, len(data), 7):
        path.write_bytes(data[:size])
        _refused(path, "damaged|truncated|neither|missing")


def test_a_flipped_bit_in_a_zip_file_is_noticed(tmp_path):
    path = _write("zip", tmp_path / "model.bin", *_everything())
    data = bytearray(path.read_bytes())
    data[data.index(FLOAT.tobytes()) + 5] ^= 1
    path.write_bytes(data)
    _refused(path, "CRC")


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_a_flipped_bit_anywhere_is_one_line_or_nothing(kind, tmp_path):
    path, storage = tmp_path / "model.bin", _Storage("0", np.arange(2))
    state = {"w": _whole(storage, storage.array)}
    if kind == "zip":
        _write_zip(path, _dumps(state), [storage], root="mod\u00e8le")  # names are said to be UTF-8
    else:
        _write_legacy(path, state, [storage])
    data, told = path.read_bytes(), []
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 128]) + data[at + 1 :])
        try:
            foreign.read(path)
        except ForeignError as error:
            told.append(str(error))
    assert told
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in told)


def test_legacy_files_of_another_kind(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(pickle.dumps({"a": 1}, 2) + pickle.dumps(1001, 2))
    _refused(path, "a pickle, but no PyTorch checkpoint")
    path.write_bytes(_legacy_bytes({}, [], system={"little_endian": False}))
    _refused(path, "little-endian")
    storage = _Storage("0", FLOAT)
    path.write_bytes(_legacy_bytes({}, [storage]))
    _refused(path, "no tensor, or a second one, has the storage '0'")


def test_other_files(tmp_path):
    path = tmp_path / "model.bin"
    _refused(path, "No such file")
    path.write_bytes(b"")
    _refused(path, "neither safetensors nor")
    header = json.dumps({"w": {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    _refused(path, "C64")
    path.write_bytes(struct.pack("<Q", 1 << 60) + header)
    _refused(path, "damaged safetensors")


def test_what_is_no_file_or_no_tensor_that_an_array_can_be(tmp_path):
    """A named pipe would block for ever, a device would be read until memory ends."""
    pipe, zero = tmp_path / "model.bin", tmp_path / "zero.safetensors"
    os.mkfifo(pipe)
    zero.symlink_to("/dev/zero")
    for path in (pipe, zero, tmp_path):
        _refused(path, "not a regular file")
    header = {"w": {"dtype": "U8", "shape": [1] * 65, "data_offsets": [0, 1]}}
    data = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(data)) + data + bytes(1))
    _refused(path, "tensor 'w' has 65 dimensions")
