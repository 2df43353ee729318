"""Cookies: a CPE gives back what its ACS set, as it was set, and only where it belongs."""

from __future__ import annotations

import pytest

from testbed.protocols.http import Response, Url
from testbed.protocols.http_cookies import MOST_COOKIES, CookieJar, default_path, parse_cookies

ACS = Url.parse("https://hms.example/cwmp/acs")


def jar(*set_cookies: str, date: str | None = None) -> CookieJar:
    jar = CookieJar()
    headers = [("Set-Cookie", value) for value in set_cookies]
    if date:
        headers.append(("Date", date))
    jar.store(Response(tuple(headers)), ACS)
    return jar


@pytest.mark.parametrize(
    ("set_cookie", "sent"),
    [
        ("session=1", "session=1"),
        ("session=1; Path=/", "session=1"),
        ('session="a=b;', 'session="a=b'),
        ("session=YWJj==; Path=/cwmp", "session=YWJj=="),
        ("session=1; Path=/cwmp/acs; Secure; HttpOnly", "session=1"),
        ("session=1; Path=other", "session=1"),
        ("session=1; Path=/other", None),
        ("session=1; Path=/cwmp/ac", None),
        ("session=1; Max-Age=0", None),
        ("session=1; Max-Age=60", "session=1"),
        ("session=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("session=1; Expires=Sat, 21 Nov 2026 02:00:00 GMT", "session=1"),
        ("session=1; Expires=Thu, 01 Jan 1970 12:00:00 GMT", None),
        ("session=1; Expires=some day", "session=1"),
        ("session=", "session="),
        ("session", None),
        ("=1", None),
    ],
)
def test_a_cookie_goes_back_where_it_belongs(set_cookie: str, sent: str | None) -> None:
    assert jar(set_cookie).header(ACS) == sent


def test_a_cookie_of_one_directory_stays_in_it() -> None:
    # RFC 2109 4.3.1: without Path it is the request's; so it is not sent above.
    assert jar("session=1").header(Url.parse("https://hms.example/")) is None


def test_expires_is_read_against_the_servers_date() -> None:
    expiring = "session=1; Expires=Sat, 21 Nov 2026 02:00:00 GMT"

    assert jar(expiring, date="Sat, 21 Nov 2026 03:00:00 GMT").header(ACS) is None
    assert jar(expiring, date="Sat, 21 Nov 2026 01:00:00 GMT").header(ACS) == "session=1"


def test_cookies_stay_with_their_host() -> None:
    assert jar("session=1; Path=/").header(Url.parse("https://other.example/")) is None


def test_secure_cookies_stay_within_tls() -> None:
    assert jar("a=1; Path=/; Secure").header(Url.parse("http://hms.example/")) is None


def test_a_new_value_takes_the_place_of_the_old() -> None:
    assert jar("session=1", "session=2").header(ACS) == "session=2"


def test_longer_paths_come_first() -> None:
    assert jar("a=1; Path=/", "b=2; Path=/cwmp").header(ACS) == "b=2; a=1"


def test_a_jar_has_room_for_what_tr_069_asks_and_a_bound() -> None:
    assert jar("session=" + "x" * 512).header(ACS) == "session=" + "x" * 512
    assert jar("session=" + "x" * 5000).header(ACS) is None

    many = jar(*(f"c{number}=1" for number in range(30))).header(ACS)
    assert many is not None
    assert many.count("=") == MOST_COOKIES


@pytest.mark.parametrize(
    ("target", "path"),
    [("/", "/"), ("/acs", "/"), ("/a/b", "/a"), ("/a/b/?c=/d", "/a/b"), ("*", "/")],
)
def test_default_path(target: str, path: str) -> None:
    assert default_path(target) == path


@pytest.mark.parametrize(
    ("header", "cookies"),
    [
        ("session=1", {"session": "1"}),
        ("a=1; b=x=y==", {"a": "1", "b": "x=y=="}),
        ('$Version="0"; ID=226_X;$Path=/', {"ID": "226_X"}),
        ("a= 1 ; a=2", {"a": "1"}),
        ("nonsense; =1;;", {}),
    ],
    ids=["plain", "several", "RFC 2109", "twice", "nonsense"],
)
def test_parsing_at_the_acs(header: str, cookies: dict[str, str]) -> None:
    assert parse_cookies(header) == cookies
