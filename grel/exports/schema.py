"""What stands beside exported weights or programs: `grel.json`, whatever the numbers need.

It says how ids are read and written: the relations and their ids, the separators, what is reserved,
which head there is. docs/EXPORT.md describes the fields.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grel.errors import UserError
from grel.families.base import System
from grel.families.bert import System as BertSystem
from grel.pretrained.naming import SCHEMA
from grel.text import bio

# Of grel.json.
_FORMAT = 1


class ExportError(UserError):
    """What cannot be exported: says which run, flag or folder, and what can."""


def exportable(system: System) -> BertSystem:
    """The system, if it can be exported; raises ExportError where it is of another family."""
    if not isinstance(system, BertSystem):
        raise ExportError(
            f"the run is of family {system.config.model.family}; only bert can be exported"
        )
    if system.memory is not None:
        raise ExportError(
            "the run has a memory, which no exported program can look things up in; export one "
            "that was trained with config.model.memory=False"
        )
    return system


def write_schema(folder: Path, system: BertSystem, **further: Any) -> None:
    """Writes grel.json, with further fields, and the files of the tokenizer."""
    system.wordpiece.save(folder)
    schema = _schema(system) | further
    text = json.dumps(schema, indent=1, ensure_ascii=False)
    (folder / SCHEMA).write_bytes(f"{text}\n".encode())


def _schema(system: BertSystem) -> dict[str, Any]:
    model, wordpiece = system.model, system.wordpiece
    form = wordpiece.form
    labels = {"O": bio.O, "B": bio.B, "I": bio.I}
    return {
        "format": _FORMAT,
        "head": model.head,
        "objective": model.objective,
        "segments": {"source": model.source_segment, "target": model.target_segment},
        "special_ids": {
            "pad": wordpiece.pad_id,
            "cls": wordpiece.cls_id,
            "sep": wordpiece.sep_id,
            "mask": wordpiece.mask_id,
        },
        "unknown_ids": wordpiece.unknown_ids,
        "part_end_id": form.part_end,
        "triple_end_id": form.triple_end,
        "relation_first": form.relation_first,
        "opener_ids": sorted(form.openers),
        "relations": wordpiece.relation_ids,
        "writable_ids": model.writable_ids,
        "labels": sorted(labels, key=labels.__getitem__),
    }
