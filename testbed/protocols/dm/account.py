"""A DM account: whom a device opens its management sessions with, and how each proves who it is.

The same account travels as OMA client provisioning (APPLICATION w7, OMA-TS-DM_Bootstrap 1.2, 5.3)
and as a DM tree in TNDS (DMAcc, urn:oma:mo:oma-dm-dmacc:1.0); both in XML and WBXML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from testbed.errors import DecodeError
from testbed.protocols.dm import wbxml
from testbed.protocols.dm.element import Element, from_xml, to_xml
from testbed.protocols.dm.vocabularies import DMTNDS_1_2, PROVISIONING_1_1, TNDS

PROVISIONING_XML = "text/vnd.wap.connectivity-xml"
PROVISIONING_WBXML = "application/vnd.wap.connectivity-wbxml"
TREE_XML = "application/vnd.syncml.dmtnds+xml"
TREE_WBXML = "application/vnd.syncml.dmtnds+wbxml"
MEDIA_TYPES = (PROVISIONING_XML, PROVISIONING_WBXML, TREE_XML, TREE_WBXML)

DM_APPLICATION = "w7"
"""OMNA's registration of OMA DM."""
DM_ACCOUNT = "urn:oma:mo:oma-dm-dmacc:1.0"


@dataclass(frozen=True, slots=True)
class Credentials:
    """How one side proves who it is to the other.

    Attributes:
        kind: BASIC, DIGEST (MD5), or HMAC.
        name: of whom.
        secret: shared.
        nonce: of the first proof, in base 64; "" where the kind has none.
    """

    kind: str
    name: str
    secret: str
    nonce: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom to open sessions with.

    Attributes:
        server_id: PROVIDER-ID, or ServerID.
        name: to show.
        url: of the DM server.
        client: what the client shows to the server; None: nothing.
        server: what the server shows to the client; None: nothing.
    """

    server_id: str
    name: str
    url: str
    client: Credentials | None = None
    server: Credentials | None = None


def encode_package(account: Account, media_type: str) -> bytes:
    """The bootstrap package in that form.

    Raises:
        ValueError: the media type is none of `MEDIA_TYPES`.
    """
    match media_type:
        case "text/vnd.wap.connectivity-xml":
            return to_xml(_provisioning(account))
        case "application/vnd.wap.connectivity-wbxml":
            return wbxml.encode(_provisioning(account), PROVISIONING_1_1)
        case "application/vnd.syncml.dmtnds+xml":
            return to_xml(_tree(account))
        case "application/vnd.syncml.dmtnds+wbxml":
            return wbxml.encode(_tree(account), DMTNDS_1_2)
    raise ValueError(f"{media_type!r} is no form of a bootstrap package: {', '.join(MEDIA_TYPES)}")


def decode_package(body: bytes, media_type: str) -> Account:
    """Read a bootstrap package.

    Args:
        body: the octets.
        media_type: of them, without parameters.

    Raises:
        DecodeError: unknown media type, broken document, or no DM account in it.
    """
    subject = "bootstrap package"
    match media_type.lower():
        case "text/vnd.wap.connectivity-xml":
            return _from_provisioning(from_xml(body, subject))
        case "application/vnd.wap.connectivity-wbxml":
            return _from_provisioning(wbxml.decode(body, subject).root)
        case "application/vnd.syncml.dmtnds+xml":
            return _from_tree(from_xml(body, subject))
        case "application/vnd.syncml.dmtnds+wbxml":
            return _from_tree(wbxml.decode(body, subject).root)
    raise DecodeError(f"{subject}: media type {media_type!r} is none of {', '.join(MEDIA_TYPES)}")


# Client provisioning

_LEVELS = (("APPSRV", "client"), ("CLIENT", "server"))
"""AAUTHLEVEL: to whom the credentials are shown, and whose they are."""


def _parm(name: str, value: str) -> Element:
    return Element("parm", attributes=(("name", name), ("value", value)))


def _characteristic(kind: str, children: Sequence[Element]) -> Element:
    return Element("characteristic", tuple(children), attributes=(("type", kind),))


def _provisioning(account: Account) -> Element:
    parts = [
        _parm("APPID", DM_APPLICATION),
        _parm("PROVIDER-ID", account.server_id),
        _parm("NAME", account.name),
        _parm("ADDR", account.url),
    ]
    for level, whose in _LEVELS:
        credentials = account.client if whose == "client" else account.server
        if credentials is None:
            continue
        told = [
            _parm("AAUTHLEVEL", level),
            _parm("AAUTHTYPE", credentials.kind),
            _parm("AAUTHNAME", credentials.name),
            _parm("AAUTHSECRET", credentials.secret),
        ]
        if credentials.nonce:
            told.append(_parm("AAUTHDATA", credentials.nonce))
        parts.append(_characteristic("APPAUTH", told))
    application = _characteristic("APPLICATION", parts)
    return Element("wap-provisioningdoc", (application,), attributes=(("version", "1.0"),))


def _parms(characteristic: Element) -> dict[str, str]:
    return {each.attribute("name"): each.attribute("value") for each in characteristic.all("parm")}


def _kind(element: Element, kind: str) -> Iterator[Element]:
    return (each for each in element.all("characteristic") if each.attribute("type") == kind)


def _from_provisioning(root: Element) -> Account:
    if root.name != "wap-provisioningdoc":
        raise DecodeError(f"bootstrap package: the root is {root.name}, not wap-provisioningdoc")
    for application in _kind(root, "APPLICATION"):
        told = _parms(application)
        if told.get("APPID") != DM_APPLICATION:
            continue
        address = told.get("ADDR", "")
        for each in _kind(application, "APPADDR"):
            address = address or _parms(each).get("ADDR", "")
        shown: dict[str, Credentials] = {}
        for each in _kind(application, "APPAUTH"):
            held = _parms(each)
            for level, whose in _LEVELS:
                if held.get("AAUTHLEVEL") == level:
                    shown[whose] = _credentials(held)
        return _account(
            told.get("PROVIDER-ID", ""), told.get("NAME", ""), address, shown, "ADDR", "PROVIDER-ID"
        )
    raise DecodeError("bootstrap package: no characteristic APPLICATION with the APPID w7 (OMA DM)")


def _credentials(held: dict[str, str]) -> Credentials:
    return Credentials(
        held.get("AAUTHTYPE", "").upper(),
        held.get("AAUTHNAME", ""),
        held.get("AAUTHSECRET", ""),
        held.get("AAUTHDATA", ""),
    )


def _account(
    server_id: str,
    name: str,
    url: str,
    shown: dict[str, Credentials],
    url_name: str,
    id_name: str,
) -> Account:
    """The account, once it is known to be whole.

    Raises:
        DecodeError: it has no address or no server.
    """
    for what, value in ((url_name, url), (id_name, server_id)):
        if not value:
            raise DecodeError(f"bootstrap package: the DM account has no {what}")
    return Account(server_id, name, url, shown.get("client"), shown.get("server"))


# A DM tree in TNDS

_TREE_LEVELS = (("CLCRED", "client"), ("SRVCRED", "server"))
_NAMES = ("AAuthType", "AAuthName", "AAuthSecret", "AAuthData")


def _leaf(name: str, value: str, kind: str = "chr") -> Element:
    return Element(
        "Node",
        (
            Element("NodeName", text=name, namespace=TNDS),
            Element("RTProperties", (_format(kind),), namespace=TNDS),
            Element("Value", text=value, namespace=TNDS),
        ),
        namespace=TNDS,
    )


def _format(kind: str) -> Element:
    return Element("Format", (Element(kind, namespace=TNDS),), namespace=TNDS)


def _branch(name: str, children: Sequence[Element], kind: str = "") -> Element:
    properties = [_format("node")]
    if kind:
        named = Element("DDFName", text=kind, namespace=TNDS)
        properties.append(Element("Type", (named,), namespace=TNDS))
    return Element(
        "Node",
        (
            Element("NodeName", text=name, namespace=TNDS),
            Element("RTProperties", tuple(properties), namespace=TNDS),
            *children,
        ),
        namespace=TNDS,
    )


def _tree(account: Account) -> Element:
    proofs = []
    for number, (level, whose) in enumerate(_TREE_LEVELS, 1):
        credentials = account.client if whose == "client" else account.server
        if credentials is None:
            continue
        leaves = [
            _leaf("AAuthLevel", level),
            _leaf("AAuthType", credentials.kind),
            _leaf("AAuthName", credentials.name),
            _leaf("AAuthSecret", credentials.secret),
        ]
        if credentials.nonce:
            leaves.append(_leaf("AAuthData", credentials.nonce, "bin"))
        proofs.append(_branch(str(number), leaves))
    address = _branch("1", [_leaf("Addr", account.url), _leaf("AddrType", "URI")])
    root = _branch(
        account.server_id,
        [
            _leaf("AppID", DM_APPLICATION),
            _leaf("ServerID", account.server_id),
            _leaf("Name", account.name),
            _branch("AppAddr", [address]),
            _branch("AppAuth", proofs),
        ],
        DM_ACCOUNT,
    )
    version = Element("VerDTD", text="1.2", namespace=TNDS)
    return Element("MgmtTree", (version, root), namespace=TNDS)


def _below(node: Element, *path: str) -> Element | None:
    """The node below by names of nodes; "*": the first."""
    here = node
    for name in path:
        below = (n for n in here.all("Node") if name in ("*", n.read("NodeName")))
        found = next(below, None)
        if found is None:
            return None
        here = found
    return here


def _value(node: Element, *path: str) -> str:
    found = _below(node, *path)
    return found.read("Value") if found is not None else ""


def _from_tree(root: Element) -> Account:
    if root.name != "MgmtTree":
        raise DecodeError(f"bootstrap package: the root is {root.name}, not MgmtTree")
    for node in _nodes(root):
        if _value(node, "AppID") != DM_APPLICATION:
            continue
        shown: dict[str, Credentials] = {}
        proofs = _below(node, "AppAuth")
        for proof in proofs.all("Node") if proofs is not None else ():
            for level, whose in _TREE_LEVELS:
                if _value(proof, "AAuthLevel") == level:
                    kind, *held = (_value(proof, name) for name in _NAMES)
                    shown[whose] = Credentials(kind.upper(), *held)
        return _account(
            _value(node, "ServerID"),
            _value(node, "Name"),
            _value(node, "AppAddr", "*", "Addr"),
            shown,
            "AppAddr/*/Addr",
            "ServerID",
        )
    raise DecodeError("bootstrap package: no node whose AppID is w7 (OMA DM)")


def _nodes(element: Element) -> Iterator[Element]:
    """All nodes of a tree, the outer ones first."""
    for node in element.all("Node"):
        yield node
        yield from _nodes(node)
