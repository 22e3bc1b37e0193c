"""Checkpoints signed by an Ed25519 key that never leaves its token (SoftHSM through PKCS#11)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import config, durable, masters
from pipeline.errors import ArchiveError
from pipeline.evidence import checkpoint, matter, note, signer
from pipeline.home import Home
from pipeline.verify import verify_archive
from tests import firm
from tests.evidence.bag import verdicts
from tests.evidence.test_bundle import export
from tests.slow.test_masters_real import PIN, token  # noqa: F401 (a fixture)

pytestmark = pytest.mark.slow


def made(setting: str, label: str, *, extractable: bool = False) -> str:
    """The setting of a fresh key pair of this label on the token."""
    import pkcs11
    from pkcs11.util.ec import encode_named_curve_parameters

    module = masters.parse(setting).query["module-path"]
    with pkcs11.lib(module).get_token(token_label="our token").open(rw=True, user_pin=PIN) as session:
        domain = session.create_domain_parameters(
            pkcs11.KeyType.EC_EDWARDS, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("1.3.101.112")}, local=True
        )
        hidden = {pkcs11.Attribute.EXTRACTABLE: extractable, pkcs11.Attribute.SENSITIVE: not extractable}
        domain.generate_keypair(mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=label, private_template=hidden)
    return setting.replace("object=liuhen", f"object={label}")


def with_key(at: Home, setting: str) -> Home:
    durable.replace(at.path / "liuhen.toml", config.changed((at.path / "liuhen.toml").read_text("utf-8"), "evidence.signing_key", setting).encode())
    return Home(at.path)


@pytest.fixture(scope="module")
def signed(token: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:  # noqa: F811
    folder = tmp_path_factory.mktemp("token")
    at = with_key(firm.home(folder), made(token, "log"))
    matter.begin(at, firm.CORP, "2026-0142", title="保单纠纷", reason="投诉", review_on=None)
    for n in (1, 2):
        firm.run(at, firm.page(folder, f"{n}.json", {n: firm.message(n)}))
        assert checkpoint.make(at, firm.CORP)[1]
    yield at


def test_a_tokens_key_signs_and_the_keyring_holds_none(signed: Home) -> None:
    key = signer.public_key(signed, firm.CORP)
    assert all(note.opened(p.text, key) for p in checkpoint.all_of(signed, firm.CORP))
    assert signed.keyring.names(f"{firm.CORP}/checkpoint#") == []


def test_both_verifiers_and_the_archives_own_accept_it(signed: Home, tmp_path: Path) -> None:
    ours, (code, words) = verdicts(tmp_path, export(signed, customer="wmA"), key=str(signer.public_key(signed, firm.CORP)))
    assert (ours, code) == ("", 0), words
    report = verify_archive(signed.path, firm.CORP)
    assert report.findings == [] and "EVIDENCE_TOKEN" in {n.code for n in report.notes}


def test_reading_and_checking_needs_no_token(signed: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIUHEN_TEST_PIN")
    assert len(checkpoint.all_of(signed, firm.CORP)) == 2
    assert verify_archive(signed.path, firm.CORP).findings == []


def test_a_log_goes_on_under_its_first_key_alone(signed: Home, token: str, tmp_path: Path) -> None:  # noqa: F811
    shutil.copytree(signed.path, tmp_path / "home")
    other = with_key(Home(tmp_path / "home"), made(token, "another"))
    firm.run(other, firm.page(tmp_path, "c.json", {3: firm.message(3)}))
    with pytest.raises(ArchiveError) as told:
        checkpoint.make(other, firm.CORP)
    assert told.value.code == "CHECKPOINT_KEY_CHANGED"


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        pytest.param("object=nobody", "EVIDENCE_KEY_UNFIT", id="no such key"),
        pytest.param("object=open", "EVIDENCE_KEY_UNFIT", id="a key that can be taken out"),
    ],
)
def test_a_key_that_will_not_do_signs_nothing(token: str, tmp_path: Path, setting: str, code: str) -> None:  # noqa: F811
    if setting == "object=open":
        made(token, "open", extractable=True)
    at = with_key(firm.home(tmp_path), token.replace("object=liuhen", setting))
    with pytest.raises(ArchiveError) as told:
        checkpoint.make(at, firm.CORP)
    assert told.value.code == code
    assert not list((at.path / "evidence").rglob("*.note"))
