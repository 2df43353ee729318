"""Authentication: the RFCs' own values, the challenges of the field, and nonces that run out."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.protocols.http import Request
from testbed.protocols.http_auth import (
    AuthenticationFailed,
    Credentials,
    Nonces,
    NonceState,
    answer,
    basic,
    digest_challenge,
    digest_response,
    parse_authorization,
    parse_challenges,
    verify_basic,
    verify_digest,
)
from testbed.protocols.http_gate import Gate, Turned

NONCE = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
RFC_2617 = (
    f'Digest username="Mufasa", realm="testrealm@host.com", nonce="{NONCE}", '
    'uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", '
    'response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)
MUFASA = {"Mufasa": "Circle Of Life", "Aladdin": "open sesame"}.get


def challenge(**parameters: str) -> Credentials:
    return Credentials("digest", {"realm": "testrealm@host.com", "nonce": NONCE, **parameters})


class TestGoldenValues:
    def test_basic_of_rfc_2617(self) -> None:
        assert basic("Aladdin", "open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="

    def test_digest_of_rfc_2617(self) -> None:
        assert (
            verify_digest(
                RFC_2617, "GET", "/dir/index.html", "testrealm@host.com", MUFASA
            ).parameters["username"]
            == "Mufasa"
        )

    def test_we_answer_as_rfc_2617_does(self) -> None:
        value = answer(
            [challenge(qop="auth,auth-int", opaque="5ccc069c403ebaf9f0171e9517f40e41")],
            *("Mufasa", "Circle Of Life", "GET", "/dir/index.html"),
            cnonce="0a4f113b",
        )

        assert value is not None
        assert parse_authorization(value) == parse_authorization(RFC_2617)

    @pytest.mark.parametrize(
        ("algorithm", "response"),
        [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ],
    )
    def test_digests_of_rfc_7616(self, algorithm: str, response: str) -> None:
        assert response == digest_response(
            *("Mufasa", "Circle of Life", "http-auth@example.org"),
            *("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "GET", "/dir/index.html"),
            qop="auth",
            count="00000001",
            cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            algorithm=algorithm,
        )

    def test_digest_of_rfc_2069_without_qop(self) -> None:
        # With the correction of RFC errata 749.
        assert (
            digest_response(
                *("Mufasa", "CircleOfLife", "testrealm@host.com", NONCE, "GET", "/dir/index.html"),
            )
            == "1949323746fe6a43ef61f9606e7febea"
        )


class TestChallenges:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (['Basic realm="x"'], [Credentials("basic", {"realm": "x"})]),
            (["Negotiate"], [Credentials("negotiate", {})]),
            (
                ['Digest realm="a, b=\\"c\\"", nonce=xyz, stale=TRUE'],
                [Credentials("digest", {"realm": 'a, b="c"', "nonce": "xyz", "stale": "TRUE"})],
            ),
            (
                ['Basic realm="x", Digest nonce="1",qop="auth"'],
                [
                    Credentials("basic", {"realm": "x"}),
                    Credentials("digest", {"nonce": "1", "qop": "auth"}),
                ],
            ),
            (
                ['Digest nonce="1"', "Basic realm=x"],
                [Credentials("digest", {"nonce": "1"}), Credentials("basic", {"realm": "x"})],
            ),
            (["", "=", '"'], []),
        ],
        ids=["basic", "no parameters", "quotes", "two in one header", "two headers", "none"],
    )
    def test_are_cut_into_parameters(self, values: list[str], expected: list[Credentials]) -> None:
        assert list(parse_challenges(values)) == expected

    def test_no_opaque_is_answered_without(self) -> None:
        value = answer([challenge()], *("u", "p", "GET", "/"), cnonce="c")

        assert value is not None
        assert set(parse_authorization(value).parameters) == {
            *("username", "realm", "nonce", "uri", "response")
        }

    def test_digest_goes_before_basic(self) -> None:
        value = answer(
            [Credentials("basic", {}), challenge(qop="auth")], *("u", "p", "GET", "/"), cnonce="c"
        )

        assert value is not None
        assert value.startswith("Digest ")

    @pytest.mark.parametrize(
        "impossible",
        [
            *(challenge(algorithm="SHA-512-256"), challenge(qop="auth-magic")),
            *(Credentials("digest", {}), Credentials("negotiate", {})),
        ],
        ids=["algorithm", "qop", "no nonce", "scheme"],
    )
    def test_what_cannot_be_answered_is_not(self, impossible: Credentials) -> None:
        assert answer([impossible], *("u", "p", "GET", "/"), cnonce="c") is None
        assert answer(
            [impossible, Credentials("basic", {})], *("u", "p", "GET", "/"), cnonce="c"
        ) == basic("u", "p")

    @given(st.text(max_size=40))
    def test_any_header_is_cut_or_left(self, value: str) -> None:
        parse_challenges([value])
        parse_authorization(value)


class TestVerification:
    @pytest.mark.parametrize("qop", [None, "auth", "auth-int"])
    @pytest.mark.parametrize("algorithm", [None, "MD5", "MD5-sess", "SHA-256"])
    def test_an_answer_to_our_own_challenge_is_right(
        self, qop: str | None, algorithm: str | None
    ) -> None:
        asked = parse_challenges(
            [digest_challenge("hms", "n1", qop=qop, algorithm=algorithm, opaque="o")]
        )
        value = answer(
            asked, "Mufasa", "Circle Of Life", "POST", "/acs", cnonce="c", count=2, body=b"x"
        )

        assert value is not None
        credentials = verify_digest(value, "POST", "/acs", "hms", MUFASA, b"x")
        assert credentials.parameters["nonce"] == "n1"

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ("", "authorization is empty, not digest"),
            ("Digest", "digest authorization lacks username, realm, nonce, uri, response"),
            ("Basic eDp5", "authorization is basic, not digest"),
            (RFC_2617.replace(', cnonce="0a4f113b"', ""), "digest authorization lacks cnonce"),
            (RFC_2617.replace("testrealm", "other"), "digest is for the realm"),
            (RFC_2617.replace("/dir/", "/"), "digest is for '/index.html', the request for"),
            (RFC_2617.replace("6629", "6630"), "user 'Mufasa' is unknown or the password is wrong"),
            (RFC_2617.replace("Mufasa", "Scar"), "user 'Scar' is unknown or the password is wrong"),
            (RFC_2617 + ", algorithm=ROT13", "digest with algorithm 'ROT13' and qop 'auth'"),
        ],
    )
    def test_a_digest_that_is_not_right_is_refused_with_the_reason(
        self, value: str, reason: str
    ) -> None:
        with pytest.raises(AuthenticationFailed) as failed:
            verify_digest(value, "GET", "/dir/index.html", "testrealm@host.com", MUFASA)

        assert str(failed.value).startswith(reason)

    def test_the_digits_of_a_digest_may_be_capitals(self) -> None:
        capitals = RFC_2617.replace("6629fae49393a05397450978507c4ef1", "{}").format(
            "6629FAE49393A05397450978507C4EF1"
        )

        verify_digest(capitals, "GET", "/dir/index.html", "testrealm@host.com", MUFASA)

    def test_a_digest_where_basic_is_asked_is_told_so(self) -> None:
        with pytest.raises(AuthenticationFailed, match="authorization is digest, not basic"):
            verify_basic(RFC_2617, MUFASA)

    def test_the_right_basic(self) -> None:
        assert verify_basic(basic("Aladdin", "open sesame"), MUFASA) == "Aladdin"

    @pytest.mark.parametrize(
        "value", ["Basic", "Basic !", "Basic QQ==", RFC_2617, basic("Mufasa", ""), basic("", "")]
    )
    def test_a_wrong_basic_is_refused(self, value: str) -> None:
        with pytest.raises(AuthenticationFailed):
            verify_basic(value, MUFASA)


class TestNonces:
    @staticmethod
    def use(nonce: str, count: str | None = None) -> Credentials:
        more = {} if count is None else {"qop": "auth", "nc": count}
        return Credentials("digest", {"nonce": nonce, **more})

    def test_a_nonce_is_good_for_its_lifetime(self) -> None:
        nonces = Nonces(Random(1), lifetime_s=300)
        nonce = nonces.issue(now=10)

        assert nonces.judge(self.use(nonce), now=310) is NonceState.GOOD
        assert nonces.judge(self.use(nonce), now=311) is NonceState.STALE

    def test_a_nonce_for_one_use(self) -> None:
        nonces = Nonces(Random(1), most_uses=1)
        nonce = nonces.issue(0)

        assert nonces.judge(self.use(nonce), 0) is NonceState.GOOD
        assert nonces.judge(self.use(nonce), 0) is NonceState.STALE

    def test_the_count_has_to_grow(self) -> None:
        nonces = Nonces(Random(1))
        nonce = nonces.issue(0)
        states = [
            nonces.judge(self.use(nonce, count), 0) for count in ("1", "1", "a", "9", "b", "x")
        ]

        good, replayed = NonceState.GOOD, NonceState.REPLAYED
        assert states == [good, replayed, good, replayed, good, replayed]

    def test_foreign_and_forgotten_nonces_are_unknown(self) -> None:
        nonces = Nonces(Random(1), most_kept=1)
        first = nonces.issue(0)
        nonces.issue(0)

        assert nonces.judge(self.use(first), 0) is NonceState.UNKNOWN
        assert nonces.judge(self.use("guess"), 0) is NonceState.UNKNOWN

    def test_the_same_seed_gives_the_same_nonces(self) -> None:
        assert Nonces(Random("1/hms")).issue(0) == Nonces(Random("1/hms")).issue(9)


class TestGate:
    @pytest.mark.parametrize("qop", [None, "auth"])
    def test_challenge_and_answer(self, qop: str | None) -> None:
        gate = Gate("hms", MUFASA, Nonces(Random(1)), qop)
        turned = gate.enter(Request(target="/acs"), 0)
        assert isinstance(turned, Turned)
        assert turned.reason == "the request carries no authorization"
        assert turned.response.status == 401

        asked = parse_challenges(turned.response.all_headers("WWW-Authenticate"))
        value = answer(asked, "Mufasa", "Circle Of Life", "POST", "/acs", cnonce="c")
        assert value is not None
        request = Request((("Authorization", value),), target="/acs")
        assert gate.enter(request, 1) == "Mufasa"

        late = gate.enter(request, 1000)
        assert isinstance(late, Turned)
        assert late.reason == "the digest's nonce is stale"
        assert "stale=true" in (late.response.header("WWW-Authenticate") or "")

    def test_a_wrong_password_is_not_called_stale(self) -> None:
        gate = Gate("testrealm@host.com", MUFASA, Nonces(Random(1)), opaque="o")
        wrong = RFC_2617.replace("6629", "6630")
        turned = gate.enter(
            Request((("Authorization", wrong),), method="GET", target="/dir/index.html"), 0
        )

        assert isinstance(turned, Turned)
        assert "stale" not in (turned.response.header("WWW-Authenticate") or "")

    def test_basic(self) -> None:
        gate = Gate("hms", MUFASA, None)
        turned = gate.enter(Request(), 0)

        assert isinstance(turned, Turned)
        assert turned.response.header("WWW-Authenticate") == 'Basic realm="hms"'
        right = Request((("Authorization", basic("Aladdin", "open sesame")),))
        assert gate.enter(right, 0) == "Aladdin"
