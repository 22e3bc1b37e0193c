"""The allow-list refuses what it does not know, and an exception holds for one package and one licence only."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from deploy.licences.check import accepted, fits

ROOT = Path(__file__).parents[2]
COMMITTED = tomllib.loads((ROOT / "deploy" / "licences" / "allowed.toml").read_text())
RULES: dict[str, Any] = {
    "allowed": ["MIT", "Apache-2.0"],
    "spellings": {"Apache 2.0": "Apache-2.0", "Mozilla": "MPL-2.0"},
    "packages": {"roots": {"licence": "MPL-2.0", "reason": "used unchanged"}},
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param("MIT", True, id="listed"),
        pytest.param("mit", False, id="another spelling is another word"),
        pytest.param("Apache 2.0", True, id="a known spelling"),
        pytest.param("GPL-3.0-only", False, id="unlisted"),
        pytest.param("GPL-3.0-only OR MIT", True, id="one side of an OR is enough"),
        pytest.param("MIT AND GPL-3.0-only", False, id="both sides of an AND are needed"),
        pytest.param("MIT AND Apache-2.0", True, id="both sides allowed"),
        pytest.param("GPL-3.0-only OR MIT AND Apache-2.0", True, id="AND binds closer than OR"),
        pytest.param("(MIT OR GPL-3.0-only) AND Apache-2.0", False, id="brackets are not read"),
        pytest.param("GPL-3.0-only WITH GCC-exception-3.1", False, id="an exception to the GPL is still unlisted"),
    ],
)
def test_a_licence_expression_fits_or_is_refused(expression: str, expected: bool) -> None:
    assert fits(expression, RULES) is expected


@pytest.mark.parametrize(
    ("name", "licences", "expected"),
    [
        pytest.param("plain", ["MIT"], True, id="allowed"),
        pytest.param("plain", [], False, id="a package that states nothing is refused"),
        pytest.param("plain", ["MIT", "GPL-3.0-only"], False, id="of several classifiers every one must fit"),
        pytest.param("roots", ["MPL-2.0"], True, id="excepted by name"),
        pytest.param("roots", ["Mozilla"], True, id="excepted under another spelling"),
        pytest.param("other", ["MPL-2.0"], False, id="the exception is for one package"),
        pytest.param("roots", ["GPL-3.0-only"], False, id="the exception is for one licence"),
    ],
)
def test_a_package_may_stay_or_is_refused(name: str, licences: list[str], expected: bool) -> None:
    assert accepted(name, licences, RULES) is expected


def test_every_exception_is_for_a_locked_package_and_gives_its_reason() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "deploy" / "requirements" / "run.txt").read_text(), re.MULTILINE))
    assert COMMITTED["packages"].keys() <= locked
    assert all(len(exception["reason"]) > 20 for exception in COMMITTED["packages"].values())


def test_no_copyleft_licence_is_allowed_for_everybody() -> None:
    assert not [licence for licence in COMMITTED["allowed"] if re.search("GPL|MPL|EPL|CDDL|SSPL", licence)]
