"""Holds the licences of the locked packages the product needs against allowed.toml; exit 1 names every one that does not fit.

    check.py            quiet unless something is wrong
    check.py --list     prints every package with its licence

Read from installed metadata, in this order: SPDX expression, classifiers, License field. What none of them says is refused, never guessed.
Looked at: deploy/requirements/run.txt. Not looked at: the tools that tests need, and what a wheel bundles without saying so.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from deploy.bootstrap.setup import locked

Rules = Mapping[str, Any]


def stated(name: str) -> list[str]:
    """Return what an installed package says its licence is, in the order above; empty when it says nothing."""
    says = metadata(name)
    classifiers = [line.removeprefix("License :: ") for line in says.get_all("Classifier", []) if line.startswith("License :: ")]
    return says.get_all("License-Expression", []) or classifiers or says.get_all("License", [])


def fits(expression: str, rules: Rules) -> bool:
    """Return whether an SPDX expression is allowed: one side of every OR, both sides of every AND. Brackets are not read, so refused."""
    spelt = rules["spellings"].get(expression, expression)
    return any(all(part.strip() in rules["allowed"] for part in side.split(" AND ")) for side in spelt.split(" OR "))


def accepted(name: str, licences: list[str], rules: Rules) -> bool:
    """Return whether a package may stay: everything it states is allowed, or it is excepted by name for what it states."""
    exception = rules["packages"].get(name)
    if exception:
        spelt = [rules["spellings"].get(licence, licence) for licence in licences]
        return exception["licence"] in licences + spelt
    return bool(licences) and all(fits(licence, rules) for licence in licences)


def main(arguments: list[str]) -> int:
    """Check every locked package the product needs; return 0 when all fit, else 1."""
    rules = tomllib.loads(Path(__file__).with_name("allowed.toml").read_text())
    refused = 0
    for package in locked("run"):
        try:
            licences = stated(package.name)
        except PackageNotFoundError:
            licences = ["not installed, so its licence is unknown"]
        fine = accepted(package.name, licences, rules)
        refused += not fine
        if not fine or "--list" in arguments:
            print(f"{'ok     ' if fine else 'REFUSED'} {package.name} {package.version}: {' / '.join(licences) or 'states no licence'}")
    if refused:
        print(f"{refused} licences are not in allowed.toml: choose another package, or add it there with a reason", file=sys.stderr)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
