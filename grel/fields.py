"""Fields of a configuration: declared with defaults, choices and ranges, and checked by these.

A family of models declares its own beside the common ones (`config.py`), so that a configuration
has the fields that mean something to its family, and no others.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import ml_collections

from grel.errors import ConfigError

T = TypeVar("T")


class Fields(NamedTuple):
    """Some fields by dotted name, such as "train.batch_size".

    Attributes:
        defaults: the value of each.
        choices: of some, all values that there are.
        ranges: of some, the least and the greatest value.
    """

    defaults: Mapping[str, Any]
    choices: Mapping[str, Sequence[Any]]
    ranges: Mapping[str, tuple[float, float]]

    def __or__(self, other: Fields) -> Fields:
        return Fields(*(dict(mine) | dict(yours) for mine, yours in zip(self, other, strict=True)))

    @classmethod
    def of(
        cls,
        shape: type,
        *,
        without: Collection[str] = (),
        choices: Mapping[str, Sequence[Any]] | None = None,
        ranges: Mapping[str, tuple[float, float]] | None = None,
    ) -> Fields:
        """Fields of "model" that are those of a network's configuration, with its defaults.

        What has no default there is not for the user to set, and neither is what is in `without`.
        Whole numbers are at least 1 and shares at most .9, where `ranges` does not say otherwise.

        Args:
            shape: a dataclass; what its fields mean stands there.
            choices, ranges: as in `Fields`, but without the "model.".
        """
        defaults = {
            field.name: field.default
            for field in dataclasses.fields(shape)
            if field.default is not dataclasses.MISSING and field.name not in without
        }
        usual: dict[type, tuple[float, float]] = {int: (1, math.inf), float: (0.0, 0.9)}
        found = {
            name: usual[type(value)] for name, value in defaults.items() if type(value) in usual
        }
        return cls(
            _of_model(defaults), _of_model(choices or {}), _of_model({**found, **(ranges or {})})
        )

    def config(self) -> ml_collections.ConfigDict:
        """A configuration with the defaults; not locked."""
        config = ml_collections.ConfigDict()
        for name, value in self.defaults.items():
            section = config
            *sections, field = name.split(".")
            for part in sections:
                if part not in section:
                    section[part] = ml_collections.ConfigDict()
                section = section[part]
            section[field] = value
        return config

    def check(self, fields: Mapping[str, Any]) -> None:
        """Raises ConfigError for the first field of a wrong type or value."""
        for name, default in self.defaults.items():
            if type(fields[name]) is not type(default):
                kind = type(default).__name__
                raise ConfigError(f"config.{name} is {fields[name]!r}; it must be of type {kind}")
            if isinstance(default, tuple):
                _check_elements(name, fields[name], type(default[0]) if default else str)
        for name, choices in self.choices.items():
            if fields[name] not in choices:
                raise ConfigError(f"config.{name} is {fields[name]!r}; one of {', '.join(choices)}")
        for name, (low, high) in self.ranges.items():
            if not low <= fields[name] <= high:
                raise ConfigError(f"config.{name} is {fields[name]}; it must be in [{low}, {high}]")


def _check_elements(name: str, values: Sequence[Any], kind: type) -> None:
    """Raises ConfigError for the first value of another type; a float may be written as an int."""
    for value in values:
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ConfigError(
                f"config.{name} has {value!r} in it; its values must be of type {kind.__name__}"
            )


def _of_model(fields: Mapping[str, T]) -> dict[str, T]:
    return {f"model.{name}": value for name, value in fields.items()}


# Where data lies: a run may go on, and a host of a pod may be, with other places.
DATA_PLACES = ("data.manual_dir", "data.data_dir", "data.cache_dir")


def leaves(config: ml_collections.ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Every field by its dotted name, such as "train.batch_size"; sequences as tuples."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            found |= leaves(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = tuple(value) if isinstance(value, list) else value
    return found
