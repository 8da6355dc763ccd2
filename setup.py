"""The packages of the wheel; everything else stands in pyproject.toml.

The recipes are installed as `grel.configs`: a package `configs` beside grel would be in the way of
everybody else's. pyproject.toml can say this only with a list of all packages.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["grel*"]), "grel.configs"],
    package_dir={"grel.configs": "configs"},
)
