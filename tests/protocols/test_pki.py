"""Certificates of a run."""

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from testbed.protocols.pki import DAY_S, Authority

MOMENT = 1_700_000_000.0


def verify(authority, identity, name, moment=MOMENT):
    """What an independent verifier says of the identity."""
    store = Store([x509.load_pem_x509_certificate(authority.certificate)])
    when = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    verifier = PolicyBuilder().store(store).time(when).build_server_verifier(x509.DNSName(name))
    return verifier.verify(x509.load_pem_x509_certificate(identity.certificate), [])


@pytest.fixture
def authority():
    return Authority("Operator root", "7", MOMENT)


def test_same_seed_gives_the_same_octets(authority):
    again = Authority("Operator root", "7", MOMENT)

    assert again.certificate == authority.certificate
    assert again.issue("hms.operator.example") == authority.issue("hms.operator.example")


def test_another_seed_gives_other_keys(authority):
    other = Authority("Operator root", "8", MOMENT)

    assert other.issue("hms.operator.example").key != authority.issue("hms.operator.example").key


def test_an_identity_chains_to_its_root_under_its_name(authority):
    chain = verify(authority, authority.issue("hms.operator.example"), "hms.operator.example")

    assert len(chain) == 2


@pytest.mark.parametrize(
    ("issued", "name"),
    [
        ({"name": "other.operator.example"}, "hms.operator.example"),
        ({"name": "hms.operator.example", "valid_to_s": -1.0}, "hms.operator.example"),
        ({"name": "hms.operator.example", "valid_from_s": DAY_S}, "hms.operator.example"),
        ({"name": "hms.operator.example", "names": ()}, "hms.operator.example"),
    ],
    ids=["wrong name", "expired", "not yet valid", "common name only"],
)
def test_a_defective_identity_is_refused(authority, issued, name):
    with pytest.raises(VerificationError):
        verify(authority, authority.issue(**issued), name)


def test_another_root_does_not_vouch(authority):
    stranger = Authority("Stranger root", "7", MOMENT)

    with pytest.raises(VerificationError):
        verify(authority, stranger.issue("hms.operator.example"), "hms.operator.example")


def test_openssl_takes_certificate_and_key_together(authority, tmp_path):
    identity = authority.issue("hms.operator.example", names=["203.0.113.20"])
    file = tmp_path / "identity.pem"
    file.write_bytes(identity.certificate + identity.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    context.load_cert_chain(file)

    key = x509.load_pem_x509_certificate(identity.certificate).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
