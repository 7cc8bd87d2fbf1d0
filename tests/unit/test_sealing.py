"""Seals: once a day, signed, exported whole and never over another."""

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.clock import SimulatedClock
from service.core import limits
from service.core.errors import ConfigurationError, LedgerError
from service.core.facts import Fact, FactKind
from service.core.seal import seal, seal_text
from service.ledger.seal_files import export, load
from service.ledger.signing import Signer, Verifier
from service.ledger.store import SqlLedger
from service.sealing import Sealer
from service.verify import verify

NOON = 1_782_864_000_000 + limits.DAY_MS // 2
ONE = seal("2026-07-01", 5, {3: (1, "a" * 64)}, "", None)


def keys(directory: Path) -> tuple[Path, Path]:
    """Write a private key and its public one."""
    private = Ed25519PrivateKey.generate()
    secret, public = directory / "seal.key", directory / "seal.pub"
    secret.touch(mode=0o600)
    form = serialization.PrivateFormat.PKCS8
    secret.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(private.public_key().public_bytes(serialization.Encoding.PEM, spki))
    return secret, public


def fact(number: int) -> Fact:
    """Return a fact that differs by its number."""
    return Fact(kind=FactKind.EVENT, key=f"event/{number}", partition=number % 2, from_ms=number)


def test_a_day_is_sealed_once_when_it_is_over(tmp_path: Path) -> None:
    """Nothing is due while the day lasts or once it is sealed; the next seal covers what no day did."""
    ledger, clock = SqlLedger("sqlite://"), SimulatedClock(NOON)
    sealer = Sealer(ledger, clock, export=lambda one: export(one, tmp_path / "seals"))
    empty = sealer.seal("2026-06-30")
    ledger.commit([fact(1), fact(2)], [], NOON)
    days = []
    for at_ms in (NOON, NOON, NOON + limits.DAY_MS, NOON + 4 * limits.DAY_MS):
        clock.advance_to(at_ms)
        due = sealer.due()
        days.append(due)
        if due is not None:
            sealer.seal(due)

    assert empty is None
    assert days == ["2026-06-30", None, "2026-07-01", "2026-07-04"]
    assert [one.day for one in ledger.seals()] == ["2026-06-30", "2026-07-01", "2026-07-04"]
    assert [name for name, _ in load(tmp_path / "seals")] == [f"{one.day}.seal.json" for one in ledger.seals()]
    assert tuple(one for _, one in load(tmp_path / "seals")) == ledger.seals()
    assert verify(ledger, load(tmp_path / "seals")).findings == ()


def test_an_export_that_failed_is_made_good_later(tmp_path: Path) -> None:
    """A directory that was away holds every seal afterwards."""
    ledger, clock = SqlLedger("sqlite://"), SimulatedClock(NOON)
    ledger.commit([fact(1)], [], NOON)
    (tmp_path / "away").write_text("a file where a directory should be")
    sealer = Sealer(ledger, clock, export=lambda one: export(one, tmp_path / "away"))
    with pytest.raises(LedgerError, match="choose a directory"):
        sealer.seal("2026-06-30")
    (tmp_path / "away").unlink()
    sealer.export_all()

    assert [one for _, one in load(tmp_path / "away")] == list(ledger.seals())


def test_a_seal_file_is_written_once_and_never_over_another(tmp_path: Path) -> None:
    """The same seal again changes nothing; another of that day is refused and the file stays."""
    path = export(ONE, tmp_path)
    before = path.stat().st_mtime_ns
    export(ONE, tmp_path)
    with pytest.raises(LedgerError, match="never overwritten"):
        export(seal("2026-07-01", 6, {3: (1, "a" * 64)}, "", None), tmp_path)

    assert path.read_text() == seal_text(ONE)
    assert path.stat().st_mtime_ns == before
    assert [one.name for one in tmp_path.iterdir()] == ["2026-07-01.seal.json"]


@pytest.mark.parametrize("text", ["", "{}", "null", "[1]", '{"day":1}', "\udcff", '{"cut":{"x":[1,"a"]}}', "[" * 5_000])
def test_a_file_that_is_no_seal_is_a_finding_and_not_a_crash(tmp_path: Path, text: str) -> None:
    """Whatever stands in a seal's file, verify names the file."""
    (tmp_path / "2026-07-01.seal.json").write_bytes(text.encode(errors="surrogateescape"))
    found = verify(SqlLedger("sqlite://"), load(tmp_path)).findings

    assert [one.kind for one in found] == ["seal"]
    assert "2026-07-01.seal.json" in found[0].text


def test_a_signature_proves_who_sealed(tmp_path: Path) -> None:
    """The right key finds nothing wrong; another key, a changed seal and an unsigned one are told."""
    (tmp_path / "other").mkdir()
    (secret, public), (_, foreign) = keys(tmp_path), keys(tmp_path / "other")
    signed = Signer.load(secret).signed(ONE)
    changed = Signer.load(secret).signed(seal("2026-07-02", 5, ONE.cut, "", None))

    assert Verifier.load(public).fault_of(signed) is None
    assert "not of key" in str(Verifier.load(foreign).fault_of(signed))
    assert "not of key" in str(Verifier.load(public).fault_of(replace(ONE, signature=changed.signature)))
    assert "not of key" in str(Verifier.load(public).fault_of(replace(ONE, signature="no hex")))
    assert "not signed" in str(Verifier.load(public).fault_of(ONE))
    assert signed.key == Verifier.load(public).key


def test_a_key_that_others_may_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    """A private key open to others, a public one in its place and rubbish are errors that never show the key."""
    secret, public = keys(tmp_path)
    text = secret.read_text()
    for path, word in ((public, "others may read"), (tmp_path / "none", "No such file")):
        with pytest.raises(ConfigurationError, match=word):
            Signer.load(path)
    public.chmod(0o600)
    with pytest.raises(ConfigurationError, match="no Ed25519 private key") as told:
        Signer.load(public)
    with pytest.raises(ConfigurationError, match="no public key"):
        Verifier.load(secret)

    assert text.splitlines()[1] not in str(told.value)
    assert text.splitlines()[1] not in repr(Signer.load(secret))
