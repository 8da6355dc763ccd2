"""A system: a configuration made concrete - tokenizer, family, model shape, decoder.

Training, evaluation and extraction all start from one of these, and a checkpoint carries what is
needed to build it again, so a run folder can be used without the recipe or the data that made it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import ml_collections

from grel import config as config_lib
from grel import parallel
from grel.decoding import driver
from grel.decoding.structure import Schema
from grel.models import FAMILIES
from grel.runs.checkpoint import CheckpointError
from grel.text.wordpiece import Wordpiece


@dataclasses.dataclass(frozen=True)
class System:
    """Everything but the parameters.

    Attributes:
        config: the whole configuration.
        wordpiece: tokenizer and relation schema.
        family: a module of `models.FAMILIES`; model: its Config.
    """

    config: ml_collections.ConfigDict
    wordpiece: Wordpiece
    family: ModuleType
    model: Any

    @classmethod
    def build(cls, config: ml_collections.ConfigDict, wordpiece: Wordpiece) -> System:
        """A system for a checked configuration."""
        family = FAMILIES[config.model.family]
        c = config.model
        model = family.Config(
            vocab_size=len(wordpiece.vocabulary),
            mask_id=wordpiece.mask_id,
            sep_id=wordpiece.sep_id,
            max_positions=c.max_positions,
            dropout=c.dropout,
            attention_dropout=c.attention_dropout,
            layer_norm_eps=c.layer_norm_eps,
            dtype=c.dtype,
            remat=c.remat,
            objective=c.objective,
            head=c.head,
            writable_ids=_schema(wordpiece).token_ids if c.head == "pointer" else (),
            source_mask_rate=c.source_mask_rate,
            target_mask_rate=c.target_mask_rate,
            alpha=c.alpha,
            label_smoothing=c.label_smoothing,
            init_stddev=c.init_stddev,
            **{name: c[name] or value for name, value in family.SIZES[c.size].items()},
            **config_lib.SEGMENTS[c.segments],
        )
        return cls(config, wordpiece, family, model)

    def about(self) -> dict[str, Any]:
        """What `from_about` needs, as JSON."""
        return {"config": self.config.to_json(), "wordpiece": self.wordpiece.to_json()}

    @classmethod
    def from_about(cls, about: dict[str, Any]) -> System:
        """The system that `about` describes; fields that came later have their defaults.

        Raises CheckpointError where it is damaged, ConfigError where it has fields or values that
        this version does not know.
        """
        config = read_config(about, "the checkpoint")
        config_lib.check(config, num_devices=1, num_processes=1)
        try:
            return cls.build(config, Wordpiece.from_json(about["wordpiece"]))
        except (LookupError, TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint's about is damaged ({error!r})") from None

    def params_like(self) -> Any:
        """Shapes and types of the parameters, without computing any."""
        return jax.eval_shape(lambda: self.family.init(self.model, jax.random.PRNGKey(0)))

    def decoder(self, **overrides: Any) -> driver.Decoder:
        """A decoder as configured; `overrides` replace fields of `config.decoding`.

        Raises ConfigError for fields that do not exist, and for values that cannot work.
        """
        c = self.config.decoding.to_dict()
        if unknown := sorted(overrides.keys() - c.keys()):
            raise config_lib.ConfigError(f"config.decoding has no {unknown[0]!r}: {sorted(c)}")
        c |= overrides
        num_steps = driver.greedy.num_steps_for(c["max_target"])
        longest = self.model.max_positions - num_steps
        buckets = [b for b in self.config.data.buckets if b < longest]
        w = self.wordpiece
        _, num_processes = parallel.process()
        try:
            return driver.Decoder(
                driver.Functions(
                    init=lambda *args: self.family.init_decode(self.model, *args),
                    decoding_params=self.family.decoding_params,
                    step=lambda *args: self.family.decode_step(self.model, *args),
                    take_rows=self.family.take_rows,
                    grow=self.family.grow,
                    reorder_beams=self.family.reorder_beams,
                ),
                driver.Options(
                    copy=c["copy"],
                    max_target=c["max_target"],
                    batch_size=c["batch_size"] // num_processes,
                    buckets=(*buckets, longest),
                    structure=c["structure"],
                    label=c["label"],
                    scores=c["scores"],
                    num_beams=c["num_beams"],
                    num_best=c["num_best"],
                    length_penalty=c["length_penalty"],
                    head=self.config.model.head,
                ),
                frame=driver.Frame.packed(w.pad_id, w.cls_id, w.sep_id),
                excluded_ids=w.excluded_ids,
                schema=_schema(w),
                unknown_id=w.unk_id,
                relations=c["relations"] or None,
                end_bias=c["end_bias"],
            )
        except ValueError as error:
            raise config_lib.ConfigError(f"config.decoding: {error}") from None


def _schema(wordpiece: Wordpiece) -> Schema:
    return Schema(wordpiece.relation_ids, wordpiece.form, wordpiece.sep_id)


def read_config(about: Mapping[str, Any], where: str | Path) -> ml_collections.ConfigDict:
    """The configuration in `about` of a checkpoint; fields that came later have their defaults.

    Raises CheckpointError where it is damaged, ConfigError where it has fields that this version
    does not know; both tell `where` it is.
    """
    config = config_lib.get_config()
    try:
        fields = config_lib.leaves(ml_collections.ConfigDict(json.loads(about["config"])))
        fields = config_lib.renamed(fields)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{where}: its config is damaged ({error!r})") from None
    if unknown := fields.keys() - config_lib.leaves(config).keys():
        raise config_lib.ConfigError(
            f"{where}: written by a newer version of grel: unknown {sorted(unknown)}"
        )
    try:
        config.update_from_flattened_dict(fields)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{where}: its config is damaged ({error})") from None
    return config


def refuse_changes(
    then: ml_collections.ConfigDict, now: ml_collections.ConfigDict, folder: Path
) -> None:
    """A run goes on only as it began, but for where things lie and how often they are written.

    Raises CheckpointError where a field of the configuration that `folder` began with changed.
    """
    old, new = config_lib.leaves(then), config_lib.leaves(now)
    changed = [
        f"config.{name}"
        for name in new
        if not name.startswith(_MAY_CHANGE) and old.get(name) != new[name]
    ]
    if changed:
        raise CheckpointError(
            f"{folder}: the run began with another {', '.join(changed)}; use the old value or "
            "another --workdir"
        )


# What is left decides what is trained, or what its F1 on validation data means.
_MAY_CHANGE = (
    *("data.manual_dir", "data.data_dir", "data.cache_dir"),
    *("decoding.batch_size", "eval.split", "eval.name", "eval.checkpoint", "eval.end_biases"),
    *("train.log_every", "train.eval_every", "train.checkpoint_every"),
    *("train.keep", "train.patience", "train.max_skipped"),
)
