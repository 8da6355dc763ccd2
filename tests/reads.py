"""Records which fields of configurations, and of settings made of them, the code of grel reads.

A field is read where grel asks for it by its name. To write, copy, compare or walk through a whole
configuration reads none of its fields, and neither does a `__post_init__`, which only checks. A
section that is handed on as a dict is read; whether what it was handed on to reads it is asked of
that.
"""

import dataclasses
import sys
from pathlib import Path

import ml_collections
from ml_collections.config_dict import config_dict

import grel
from grel.config import fields_of, get_config
from grel.data import augment, features
from grel.decoding import program
from grel.families.base import Trained
from grel.families.registry import FAMILIES
from grel.training.optimizer import OptimizerConfig

_GREL = str(Path(grel.__file__).parent)


def settings(family: str) -> list[tuple[str, type]]:
    """Dataclasses that fields of a family's configurations are copied to, and of which section."""
    if not issubclass(FAMILIES[family], Trained):
        return []
    found = [("model", FAMILIES[family].NETWORK.Config), ("train", OptimizerConfig)]
    defaults = fields_of(family).defaults
    if "decoding.copy" in defaults:
        found.append(("decoding", program.Options))
    if "data.labelling" in defaults:
        found += [("data", features.Options), ("data", augment.Rates)]
    return found


def of_class(shape: type, field: str) -> str:
    """How a field of a dataclass is recorded."""
    return f"{shape.__module__}.{shape.__name__}.{field}"


def record(path: str) -> None:
    """Appends a line to the file for each read: "train.keep", or "grel.models.bert.Config.head"."""
    file = Path(path).open("a", buffering=1)  # noqa: SIM115
    sections = {}
    for family in FAMILIES:
        config = get_config(family)
        sections[frozenset(config)] = ""
        for name, value in config.items():
            if isinstance(value, ml_collections.ConfigDict):
                assert sections.setdefault(frozenset(value), f"{name}.") == f"{name}."

    def read(section, *names):
        # While a configuration is being put together it has fewer fields, and none is read.
        prefix = sections.get(frozenset(section))
        if prefix is not None:
            file.writelines(f"{prefix}{name}\n" for name in names)

    getitem, to_dict = ml_collections.ConfigDict.__getitem__, ml_collections.ConfigDict.to_dict

    def recorded_getitem(self, key):
        if _is_asked(sys._getframe(1)):
            read(self, key)
        return getitem(self, key)

    def recorded_to_dict(self, *args, **kwargs):
        if _is_asked(sys._getframe(1)) and "model" not in self:
            read(self, *self)
        return to_dict(self, *args, **kwargs)

    ml_collections.ConfigDict.__getitem__ = recorded_getitem
    ml_collections.ConfigDict.to_dict = recorded_to_dict
    for shape in {shape for family in FAMILIES for _, shape in settings(family)}:
        names = {field.name for field in dataclasses.fields(shape)}

        def recorded_getattribute(self, name, names=names):
            if name in names and _is_asked(sys._getframe(1)):
                file.write(of_class(type(self), name) + "\n")
            return object.__getattribute__(self, name)

        shape.__getattribute__ = recorded_getattribute


def _is_asked(frame) -> bool:
    """Whether it is code of grel that asks, by an attribute, an item or `get`."""
    while frame.f_code.co_filename == config_dict.__file__ and frame.f_code.co_name in (
        "__getattr__",
        "get",
    ):
        frame = frame.f_back
    return frame.f_code.co_filename.startswith(_GREL) and frame.f_code.co_name != "__post_init__"
