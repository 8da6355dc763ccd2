"""All families by name. A new one is its files and a line here; see CONTRIBUTING.md."""

from grel.families import bert, lookup, mrmep, ptdec, worddec
from grel.families.base import System

FAMILIES: dict[str, type[System]] = {
    "bert": bert.System,
    "lookup": lookup.System,
    "mrmep": mrmep.System,
    "ptdec": ptdec.System,
    "worddec": worddec.System,
}
