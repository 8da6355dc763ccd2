"""Commands with a configuration: `--config=RECIPE[:VARIANT]` and `--config.FIELD=VALUE`.

ml_collections makes a flag of every field of a recipe; what a user gets wrong in naming either is
told here in one line, where it would be a traceback from the middle of that library.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import absl.logging
import ml_collections
from absl import app, flags
from ml_collections import config_flags

from grel import config as config_lib
from grel.errors import ConfigError, UsageError, refuse_addresses, refuse_remote, run_command
from grel.families.registry import FAMILIES
from grel.fields import leaves
from grel.files.faults import RecordError
from grel.runs import record

_FIELD = re.compile(r"--?(?:no)?config\.([^=]+).*", re.DOTALL)


def run(
    main: Callable[[ml_collections.ConfigDict | None, dict[str, Any]], None],
    *,
    default: Callable[[Sequence[str]], str | None],
    help: str,
    remote: Collection[str] = (),
) -> int:
    """Runs a command with the flags of its command line, and returns its exit status.

    Args:
        main: is called with the configuration, fields set, and with these fields by dotted name.
        default: the recipe if none is given, by the command line with its --flagfiles read; for
            None `main` is called without a configuration.
        help: what `--config` is to this command.
        remote: flags that may be addresses; see `errors.run_command`.
    """
    # --help shows the flags of the file that was called, also where `grel` called it.
    for flag in flags.FLAGS.get_key_flags_for_module(main.__module__):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)

    def command() -> None:
        if (parsed := _parse(sys.argv, default, help, remote)) is not None:
            main(*parsed)

    return run_command(command, remote=remote)


def load(recipe: str) -> ml_collections.ConfigDict:
    """What `get_config` of a recipe gives, locked; `recipe` is `PATH` or `PATH:VARIANT`.

    Where there is no file `configs/NAME.py`, it is the recipe NAME that comes with grel.
    Raises UsageError where there is no such recipe or variant, or a field of it is an address.
    """
    name, *variant = recipe.split(":", 1)
    path = Path(name)
    if not path.is_file():
        own = _own()
        if name not in own:
            others = ", ".join(sorted(own))
            raise UsageError(f"--config={recipe}: there is no file {name!r}; grel has {others}")
        path = own[name]
    spec = importlib.util.spec_from_file_location(f"{path.stem}_recipe", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--config={recipe}: a recipe is a Python file, such as configs/demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise UsageError(f"--config={recipe}: no recipe: it has no function get_config")
    if variant and not inspect.signature(module.get_config).parameters:
        raise UsageError(f"--config={recipe}: the recipe has no variants; leave out :{variant[0]}")
    try:
        config = module.get_config(*variant).lock()
    except ConfigError as error:
        raise UsageError(f"--config={recipe}: {error}") from None
    for name, value in leaves(config).items():
        if isinstance(value, str):
            refuse_remote(f"config.{name}={value}", UsageError)
    return config


def _own() -> dict[str, Path]:
    """The recipes that come with grel, by their names in the checkout.

    They are installed below grel (setup.py), as others may have a package `configs` too.
    """
    spec = importlib.util.find_spec("grel.configs")
    if spec is None:  # in a checkout
        folder = Path(config_lib.__file__).parents[1] / "configs"
    else:
        (folder,) = map(Path, spec.submodule_search_locations or ())
    return {f"configs/{path.name}": path for path in folder.glob("[!_]*.py")}


def _parse(
    argv: Sequence[str],
    default: Callable[[Sequence[str]], str | None],
    help: str,
    remote: Collection[str],
) -> tuple[ml_collections.ConfigDict | None, dict[str, Any]] | None:
    """Sets all flags; the configuration and the fields that were set. None after --help."""
    app.define_help_flags()
    absl.logging.use_absl_handler()
    recipe, argv = take("config", flags.FLAGS.read_flags_from_files(list(argv), force_gnu=False))
    refuse_addresses(argv, remote=remote)  # those of flagfiles too
    if recipe is None:
        recipe = default(argv)
    config = None if recipe is None else load(recipe)
    if config is not None:
        _check_fields(argv, config)
        config_flags.DEFINE_config_dict("config", config, help, sys_argv=argv)
        # --help would show the whole configuration, in YAML, before all other flags.
        flags.FLAGS["config"].default_as_str = ""
    else:
        flags.DEFINE_string("config", None, help)
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS["config"])
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        raise UsageError(str(error)) from None
    except SystemExit:  # of absl, once it has shown the help, and with status 1
        return None
    if len(rest) > 1:
        raise UsageError(f"unknown argument {rest[1]!r}; flags begin with --")
    if config is None:
        return None, {}
    return flags.FLAGS.config, config_flags.get_override_values(flags.FLAGS["config"])


def of_run(argv: Sequence[str]) -> str:
    """All fields of the family that the run in --workdir is of; without a run, of the default."""
    workdir, _ = take("workdir", argv)
    family = ""
    if workdir is not None:
        with contextlib.suppress(RecordError):
            facts = record.read(Path(workdir))
            config = ml_collections.ConfigDict(facts.get("config", {}))
            family = leaves(config).get("model.family", "")
    return config_lib.__file__ + (f":{family}" if family in FAMILIES else "")


def decoding_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of decoding by their own names, where no others may be set but config.eval.checkpoint.

    Raises UsageError where one is.
    """
    decoding = {}
    for name, value in fields.items():
        section, _, field = name.partition(".")
        if section == "decoding":
            decoding[field] = value
        elif name != "eval.checkpoint":
            raise UsageError(
                f"--config.{name}: only config.decoding and config.eval.checkpoint can be set here"
            )
    return decoding


def take(name: str, argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The last value of a flag on a command line, None where there is none, and all but the flag.

    It may be `--name=value` or `--name value`. Where the value lacks, the flag is left to absl,
    which tells.
    """
    value, rest = None, []
    arguments = iter(argv)
    for argument in arguments:
        flag, equals, given = argument.partition("=")
        if flag not in (f"-{name}", f"--{name}"):
            rest.append(argument)
        elif equals:
            value = given
        elif (following := next(arguments, None)) is not None:
            value = following
        else:
            rest.append(argument)
    return value, rest


def _check_fields(argv: Sequence[str], config: ml_collections.ConfigDict) -> None:
    """Raises UsageError for the first `--config.FIELD` that the configuration does not have."""
    known = leaves(config)
    for argument in argv:
        match = _FIELD.fullmatch(argument)
        if match is not None and match[1] not in known:
            close = difflib.get_close_matches(match[1], known, n=1)
            where = "grel/config.py and grel/families/ list the fields"
            hint = f"did you mean {close[0]}?" if close else where
            raise UsageError(f"--config.{match[1]}: there is no such field; {hint}")
