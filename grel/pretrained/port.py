"""Ports pretrained encoders - UniLM, BERT, MiniLM, MPNet - to parameters of our model.

Published checkpoints agree on tensors and differ in names: with and without `bert.`, gamma or
weight, one fused projection or three, MPNet's short names for them. Names are first made the same,
then one table says which tensor fills which parameter, and a second which tensors have no part in
relation extraction. What neither table knows is an error rather than a silent difference, and all
is checked before anything is compiled. Sources: UniLM v1 (Dong et al. 2019) and its s2s-ft; Hugging
Face's BERT and MPNet.

What no checkpoint has starts fresh. The BIO head is a small normal matrix with zero biases, so that
the three labels begin equally likely. The transform before the token head is drawn as BERT draws
it, and its layer norm starts as the identity: the tied decoder then sees vectors of the scale that
it compares with in the embeddings. Separators and relation tokens take [unusedN] rows of the word
table, which pretraining left nearly alike: they are drawn anew, as unlike each other as words are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import traverse_util

from grel.errors import UserError, expand_home
from grel.models import bert
from grel.pretrained import foreign, naming
from grel.pretrained.naming import Row
from grel.pretrained.report import Report
from grel.runs import layout
from grel.runs.checkpoint import Checkpoints
from grel.text.wordpiece import VocabularyError, read_vocabulary


class PretrainedError(UserError):
    """A checkpoint that does not fit the model: names the tensor or field and what would fit."""


class Entry(NamedTuple):
    """What became of one tensor.

    Attributes:
        status: "loaded", "grown" (rows were added), "fresh" (not in the file) or "unused" (only
            in the file).
        tensor: its name in the file; "" where fresh.
        parameter: our path to it; "" where unused.
        shape: in the file; of the parameter where fresh.
        note: how it was changed, or why it was left out.
    """

    status: str
    tensor: str
    parameter: str
    shape: tuple[int, ...]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class TensorReport(Report):
    """What became of every tensor of the file and of every parameter of the model."""

    file: Path
    entries: tuple[Entry, ...]

    def summary(self) -> str:
        """One line: the file and how many tensors of each status."""
        counts = Counter(entry.status for entry in self.entries)
        return f"{self.file}: " + ", ".join(f"{n} {status}" for status, n in counts.items())

    def table(self) -> str:
        """One line for each entry under a header, in columns."""
        rows = [("status", "tensor", "parameter", "shape", "note")]
        rows += [
            (e.status, e.tensor or "-", e.parameter or "-", "x".join(map(str, e.shape)), e.note)
            for e in self.entries
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        )
        return "\n".join(line.rstrip() for line in lines) + "\n"


# Rows of BERT's segment table from which UniLM starts its six.
_UNILM_SEGMENTS = (0, 1, 0, 0, 0, 1)
_LAYER_NORM_EPS = {"BERT": 1e-12, "UniLM": 1e-5, "MPNet": 1e-5}

_FILES = ("model.safetensors", "pytorch_model.bin")


def load(
    path: str | Path,
    config: bert.Config,
    vocabulary: Sequence[str],
    key: jax.Array,
    reserved_ids: Sequence[int] = (),
) -> tuple[Any, TensorReport]:
    """Parameters from a checkpoint, and a report of every tensor.

    Args:
        path: a `.safetensors`, `.bin` or `.pt` file, a Hugging Face folder with config.json, which
            may be an exported one, or a folder with checkpoints of grel's own, of which the best is
            taken.
        config: the model that they must fit.
        vocabulary: its tokens; must equal the checkpoint's where that is known.
        key: for what the checkpoint lacks, which can be the heads only, and for reserved rows.
        reserved_ids: rows of the word table that are drawn anew; those of a checkpoint of grel's
            own, or of an exported one, were trained and stay.

    Raises foreign.ForeignError or checkpoint.CheckpointError where the file cannot be read,
    PretrainedError where it does not fit the model. None computes anything.
    """
    path = expand_home(path)
    if (path / layout.CHECKPOINTS["best"]).is_dir():
        return _load_own(path / layout.CHECKPOINTS["best"], config, vocabulary)
    exported = (path / naming.SCHEMA).is_file()
    file = _find(path, config, exported)
    if (path / "vocab.txt").is_file():
        try:
            _check_vocabulary(read_vocabulary(path / "vocab.txt"), vocabulary)
        except (PretrainedError, VocabularyError) as error:
            raise PretrainedError(f"{path}: {error}") from None
    arrays = foreign.read(file)
    try:
        found = _unify(arrays)
        if naming.DISTANCES in found and naming.SEGMENTS not in found:
            found |= _mpnet(found, config)
        _check_kind(found, config, path.is_dir(), exported)
        shapes = traverse_util.flatten_dict(_shapes(config), sep="/")
        filled, entries = _fill(found, shapes, config)
    except PretrainedError as error:
        raise PretrainedError(f"{file}: {error}") from None
    fresh = traverse_util.flatten_dict(bert.init(config, key), sep="/")
    params = fresh | filled
    if reserved_ids and not exported:
        words = "words/embedding"
        params[words] = _redrawn(params[words], reserved_ids, jax.random.fold_in(key, 1))
        shape = (len(reserved_ids), config.hidden_size)
        entries.append(Entry("fresh", "", words, shape, "rows of separators and relation tokens"))
    return traverse_util.unflatten_dict(params, sep="/"), TensorReport(file, tuple(entries))


def _redrawn(table_VD: np.ndarray, ids: Sequence[int], key: jax.Array) -> np.ndarray:
    """The table with rows drawn from a normal distribution like that of its other rows."""
    ids_E = np.array(ids)
    words_VD = np.delete(table_VD, ids_E, axis=0)
    noise_ED = np.asarray(jax.random.normal(key, (len(ids), table_VD.shape[1])))
    table_VD = table_VD.copy()
    table_VD[ids_E] = words_VD.mean(0) + noise_ED * words_VD.std(0)
    return table_VD


def _load_own(
    folder: Path, config: bert.Config, vocabulary: Sequence[str]
) -> tuple[Any, TensorReport]:
    with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
        about = checkpoints.about()
        try:
            model = json.loads(about["config"])["model"]
            if "wordpiece" not in about:
                raise PretrainedError(f"a run of family {model['family']} has no weights")
            wordpiece = json.loads(about["wordpiece"])
            _check_vocabulary(wordpiece["vocabulary"], vocabulary)
            _check_shape(model, len(wordpiece["relations"]), config)
            if model["layer_norm_eps"] != config.layer_norm_eps:
                raise PretrainedError(
                    f"its layer norm has the epsilon {model['layer_norm_eps']}: set "
                    "config.model.layer_norm_eps"
                )
        except PretrainedError as error:
            raise PretrainedError(f"{folder}: {error}") from None
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise PretrainedError(
                f"{folder}: about is damaged ({error!r:.200}); set config.model.init_from to "
                "another run"
            ) from None
        params = checkpoints.params(_shapes(config))
    entries = [
        Entry("loaded", name, name, array.shape)
        for name, array in traverse_util.flatten_dict(params, sep="/").items()
    ]
    return params, TensorReport(folder, tuple(entries))


def _check_shape(model: Mapping[str, Any], num_relations: int, config: bert.Config) -> None:
    """Refuses a run whose parameters are others: by its fields, of which older runs lack some."""
    size = bert.SIZES[model["size"]]
    theirs = {name: model[name] or value for name, value in size.items()}
    theirs["max_positions"] = model["max_positions"]
    theirs["head"] = model.get("head", "vocabulary")
    theirs["memory"] = model.get("memory", False)
    theirs["relative_buckets"] = model.get("relative_buckets", 0)
    for name, value in theirs.items():
        ours = config.num_marks > 0 if name == "memory" else getattr(config, name)
        if value != ours:
            raise PretrainedError(
                f"it was trained with config.model.{name}={value}, and this is {ours}"
            )
    if theirs["memory"] and 2 * num_relations != config.num_marks:
        raise PretrainedError(
            f"its memory has {num_relations} relations, and this one {config.num_marks // 2}: set "
            "config.model.memory=False, and start from a run without one"
        )


def _shapes(config: bert.Config) -> Any:
    return jax.eval_shape(lambda: bert.init(config, jax.random.PRNGKey(0)))


def _check_vocabulary(theirs: Sequence[str], ours: Sequence[str]) -> None:
    if len(theirs) != len(ours):
        raise PretrainedError(
            f"its vocabulary has {len(theirs)} tokens, the model's {len(ours)}: set "
            "config.tokenizer.vocab to the vocab.txt of this checkpoint"
        )
    for number, (their, our) in enumerate(zip(theirs, ours, strict=True)):
        if their != our:
            raise PretrainedError(
                f"token {number} of its vocabulary is {their!r}, of the model's {our!r}: set "
                "config.tokenizer.vocab to the vocab.txt of this checkpoint"
            )


def _find(path: Path, config: bert.Config, exported: bool) -> Path:
    """The file of weights; a folder's config.json must describe our model."""
    if not path.is_dir():
        return path
    described = path / "config.json"
    try:
        fields = json.loads(described.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PretrainedError(f"{described}: not a readable JSON file ({error})") from error
    if not isinstance(fields, dict):
        raise PretrainedError(f"{described}: not a JSON object")
    ours = naming.CONFIG | naming.MPNET_CONFIG
    expected = {theirs: getattr(config, name) for theirs, name in ours.items()}
    expected |= naming.CONSTANTS
    if fields.get("type_vocab_size") == len(_UNILM_SEGMENTS) and not exported:
        del expected["layer_norm_eps"]  # s2s-ft writes BERT's there, and UniLM's code has its own
    for name, value in expected.items():
        if fields.get(name, value) != value:
            advice = f"; set config.model.{ours[name]}" if name in ours else ""
            raise PretrainedError(
                f"{described}: {name} is {fields[name]!r} and the model has {value!r}{advice}"
            )
    for name in _FILES:
        if (path / name).exists():
            return path / name
    raise PretrainedError(f"{path}: holds neither {' nor '.join(_FILES)}")


# What MPNet calls BERT's tensors.
_MPNET_NAMES = (
    (r"\.attention\.attn\.q\.", ".attention.self.query."),
    (r"\.attention\.attn\.k\.", ".attention.self.key."),
    (r"\.attention\.attn\.v\.", ".attention.self.value."),
    (r"\.attention\.attn\.o\.", ".attention.output.dense."),
    (r"\.attention\.LayerNorm\.", ".attention.output.LayerNorm."),
    (r"^lm_head\.dense\.", f"{naming.HEAD}transform.dense."),
    (r"^lm_head\.layer_norm\.", f"{naming.HEAD}transform.LayerNorm."),
    (r"^lm_head\.", naming.HEAD),
)
# Its positions begin behind two that it keeps for padding.
_MPNET_PADDING = 2


class _Found(NamedTuple):
    """A tensor, the name that it has in the file, and what is to be said of it."""

    array: np.ndarray
    name: str
    status: str = "loaded"
    note: str = ""


def _unify(arrays: dict[str, np.ndarray]) -> dict[str, _Found]:
    """The tensors under the names that the tables know."""
    found: dict[str, _Found] = {}

    def add(unified: str, tensor: _Found) -> None:
        if unified in found:
            raise PretrainedError(f"{tensor.name} and {found[unified].name} both give {unified}")
        found[unified] = tensor

    for name, array in arrays.items():
        unified = name.removeprefix("bert.").removeprefix("mpnet.")
        for theirs, bert_name in _MPNET_NAMES:
            unified = re.sub(theirs, bert_name, unified)
        unified = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", unified)
        unified = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", unified)
        # s2s-ft fuses the three projections into one and leaves out the key's bias, which softmax
        # does not feel.
        attention, _, part = unified.rpartition(".self.")
        if part == "qkv_linear.weight":
            if array.ndim != 2 or len(array) % 3:
                raise PretrainedError(f"{name} has the shape {array.shape}, not three projections")
            for projection, rows in zip(("query", "key", "value"), np.split(array, 3), strict=True):
                tensor = _Found(rows, name, note=f"the third for {projection}")
                add(f"{attention}.self.{projection}.weight", tensor)
        elif part in ("q_bias", "v_bias"):
            projection = {"q": "query", "v": "value"}[part[0]]
            add(f"{attention}.self.{projection}.bias", _Found(array.reshape(-1), name))
            if part == "q_bias":
                zeros = np.zeros(array.size, np.float32)
                add(
                    f"{attention}.self.key.bias",
                    _Found(zeros, "", "fresh", "zero: fused with none"),
                )
        else:
            add(unified, _Found(array, name))
    return found


def _mpnet(found: Mapping[str, _Found], config: bert.Config) -> dict[str, _Found]:
    """What a model of ours has instead of tensors of MPNet, which knows no segments."""
    segments = np.zeros((config.num_segments, config.hidden_size), np.float32)
    instead = {naming.SEGMENTS: _Found(segments, "", "fresh", "zero: MPNet has none")}
    if naming.POSITIONS in found:
        positions = found[naming.POSITIONS]
        note = f"without the first {_MPNET_PADDING}, which are for padding"
        instead[naming.POSITIONS] = positions._replace(
            array=positions.array[_MPNET_PADDING:], note=note
        )
    return instead


def _check_kind(
    found: dict[str, _Found], config: bert.Config, in_folder: bool, exported: bool
) -> None:
    """Refuses weights for a model that runs unlike their own.

    UniLM's are known by their segments, MPNet's by what they have of distances. The epsilon of the
    layer norm is in no file of weights: the code of UniLM and MPNet has one, BERT's another.
    A folder says BERT's, and one that grel has written says what it is.
    """
    if naming.SEGMENTS not in found:
        return  # what is missing is named when it is filled in, and so is what does not fit
    segments = found[naming.SEGMENTS]
    num_rows = segments.array.shape[:1]
    if naming.DISTANCES in found:
        kind, is_known = "MPNet", in_folder
        distances = found[naming.DISTANCES]
        if config.relative_buckets != len(distances.array):
            raise PretrainedError(
                f"{distances.name} has {len(distances.array)} rows, as MPNet's: set "
                f"config.model.relative_buckets={len(distances.array)}"
            )
    elif num_rows == (len(_UNILM_SEGMENTS),):
        kind, is_known = "UniLM", exported
        if config.num_segments != len(_UNILM_SEGMENTS):
            raise PretrainedError(
                f"{segments.name} has 6 rows, as UniLM's: set config.model.segments=unilm"
            )
    elif num_rows == (2,):
        kind, is_known = "BERT", in_folder
    else:
        return
    expected = _LAYER_NORM_EPS[kind]
    if not is_known and config.layer_norm_eps != expected:
        raise PretrainedError(
            f"these are weights of {kind}, whose layer norm has the epsilon {expected}: set "
            f"config.model.layer_norm_eps={expected}"
        )


def _fill(
    found: dict[str, _Found], shapes: dict[str, Any], config: bert.Config
) -> tuple[dict[str, np.ndarray], list[Entry]]:
    """Parameters by path, and what became of every tensor and parameter."""
    found = dict(found)
    entries = []
    for copy, original in naming.COPIES.items():
        if copy in found and original in found:
            array, name, *_ = found.pop(copy)
            if not np.array_equal(array, found[original].array):
                raise PretrainedError(
                    f"{name} differs from {found[original].name}; this model writes with the "
                    "table that it reads with"
                )
            entries.append(
                Entry("unused", name, "", array.shape, f"equal to {found[original].name}")
            )
        elif copy in found:
            found[original] = found.pop(copy)
    filled = {}
    for row in naming.TABLE:
        if row.parameter not in shapes:
            continue
        shape = shapes[row.parameter].shape
        names = [row.tensor.format(n) for n in range(config.num_layers if row.per_layer else 1)]
        if names[0] not in found and row.in_head:
            continue
        arrays = []
        for name in names:
            if name not in found:
                advice = f"; the model has {config.num_layers} layers" if row.per_layer else ""
                raise PretrainedError(f"{name} is missing{advice}")
            tensor = found.pop(name)
            array, status, note = _fit(tensor, row, shape[1:] if row.per_layer else shape)
            arrays.append(array)
            entries.append(Entry(status, tensor.name, row.parameter, tensor.array.shape, note))
        filled[row.parameter] = np.stack(arrays) if row.per_layer else arrays[0]
    for name, tensor in found.items():
        reasons = [reason for pattern, reason in naming.UNUSED if re.fullmatch(pattern, name)]
        if not reasons:
            raise PretrainedError(
                f"{tensor.name} {tensor.array.shape} is no tensor of a BERT of "
                f"{config.num_layers} layers with a token head"
            )
        entries.append(Entry("unused", tensor.name, "", tensor.array.shape, reasons[0]))
    entries += [
        Entry("fresh", "", path, shape.shape, "not in the file")
        for path, shape in shapes.items()
        if path not in filled
    ]
    return filled, entries


def _fit(tensor: _Found, row: Row, shape: tuple[int, ...]) -> tuple[np.ndarray, str, str]:
    """A tensor in the shape of our parameter (of one layer), its status and what was done."""
    array, status, note = np.asarray(tensor.array, np.float32), tensor.status, tensor.note
    expected = shape if row.parameter.endswith("embedding") else (math.prod(shape),)
    if row.num_inputs:
        inputs, outputs = shape[: row.num_inputs], shape[row.num_inputs :]
        expected = (math.prod(outputs), math.prod(inputs))
    if row.tensor in _RESIZED and array.ndim == 2 and array.shape[1:] == expected[1:]:
        rows = _RESIZED[row.tensor](len(array), expected[0])
        if rows is not None and len(array) != expected[0]:
            status = "grown" if expected[0] > len(array) else "loaded"
            note = f"{len(array)} rows to {expected[0]}"
            array = array[rows]
    if array.shape != expected:
        advice = ""
        if row.tensor == naming.WORDS:
            advice = "; set config.tokenizer.vocab to the vocab.txt of this checkpoint"
        raise PretrainedError(
            f"{tensor.name} has the shape {tensor.array.shape}, the model needs {expected}{advice}"
        )
    if not np.isfinite(array).all():
        raise PretrainedError(f"{tensor.name} holds values that are not finite")
    return (array.T if row.num_inputs else array).reshape(shape), status, note


def _segment_rows(num_rows: int, wanted: int) -> np.ndarray | None:
    """As UniLM starts from BERT's two: rows of the table that ours are taken from."""
    if (num_rows, wanted) == (2, len(_UNILM_SEGMENTS)):
        return np.array(_UNILM_SEGMENTS)
    return None


def _position_rows(num_rows: int, wanted: int) -> np.ndarray | None:
    """The table over and over again, or its beginning."""
    return np.arange(wanted) % num_rows if num_rows else None


_RESIZED = {naming.SEGMENTS: _segment_rows, naming.POSITIONS: _position_rows}
