"""All families by name. A new one is its files and a line here; see CONTRIBUTING.md."""

from grel.families import bert, copymtl, copyre, lookup, mrmep, ptdec, worddec
from grel.families.base import System

FAMILIES: dict[str, type[System]] = {
    "bert": bert.System,
    "copymtl": copymtl.System,
    "copyre": copyre.System,
    "lookup": lookup.System,
    "mrmep": mrmep.System,
    "ptdec": ptdec.System,
    "worddec": worddec.System,
}
