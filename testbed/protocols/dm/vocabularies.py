"""The tokens of OMA's WBXML documents: SyncML 1.2 with its meta information, DM's description
framework (TNDS), and client provisioning (WAP-183, OMA-WAP-TS-ProvCont 1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

SYNCML = "SYNCML:SYNCML1.2"
META = "syncml:metinf"
TNDS = "syncml:dmddf1.2"


@dataclass(frozen=True)
class Page:
    """One code page.

    Attributes:
        namespace: of its elements.
        tags: token of each element's name.
        attributes: token of each attribute's start: a name, or a name and the beginning of a value.
        values: token of each attribute's value, or part of one.
    """

    namespace: str
    tags: Mapping[str, int]
    attributes: Mapping[tuple[str, str], int] = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def names(self) -> dict[int, str]:
        """The tags, by token."""
        return {token: name for name, token in self.tags.items()}

    @cached_property
    def starts(self) -> dict[int, tuple[str, str]]:
        """The attributes' starts, by token."""
        return {token: start for start, token in self.attributes.items()}

    @cached_property
    def value_texts(self) -> dict[int, str]:
        """The attributes' values, by token."""
        return {token: value for value, token in self.values.items()}


@dataclass(frozen=True)
class Vocabulary:
    """What one kind of document is written with.

    Attributes:
        name: for errors.
        public_id: of the document type, as WBXML numbers it; 0: it has no number, its text is told.
        public_text: of the document type, as XML names it.
        version: of WBXML that its documents are written in: 0x02 is 1.2, 0x03 is 1.3.
        pages: by number.
    """

    name: str
    public_id: int
    public_text: str
    version: int
    pages: Mapping[int, Page]


def _tokens(first: int, names: str) -> dict[str, int]:
    return {name: first + number for number, name in enumerate(names.split())}


_SYNCML_TAGS = _tokens(
    0x05,
    """Add Alert Archive Atomic Chal Cmd CmdID CmdRef Copy Cred Data Delete Exec Final Get Item Lang
    LocName LocURI Map MapItem Meta MsgID MsgRef NoResp NoResults Put Replace RespURI Results Search
    Sequence SessionID SftDel Source SourceRef Status Sync SyncBody SyncHdr SyncML Target TargetRef
    Reserved VerDTD VerProto NumberOfChanges MoreData Field Filter Record FilterType SourceParent
    TargetParent Move Correlator""",
)
_META_TAGS = _tokens(
    0x05,
    """Anchor EMI Format FreeID FreeMem Last Mark MaxMsgSize Mem MetInf Next NextNonce SharedMem
    Size Type Version MaxObjSize FieldLevel""",
)
_TNDS_TAGS = _tokens(
    0x05,
    """AccessType ACL Add b64 bin bool chr CaseSense CIS Copy CS date DDFName DefaultValue Delete
    Description DFFormat DFProperties DFTitle DFType Dynamic Exec float Format Get int Man MgmtTree
    MIME Mod Name Node node NodeName null Occurrence One OneOrMore OneOrN Path Permanent Replace
    RTProperties Scope Size time Title TStamp Type Value VerDTD VerNo xml ZeroOrMore ZeroOrN
    ZeroOrOne""",
)

SYNCML_1_2 = Vocabulary(
    "SyncML",
    0x1201,
    "-//SYNCML//DTD SyncML 1.2//EN",
    0x02,
    {0: Page(SYNCML, _SYNCML_TAGS), 1: Page(META, _META_TAGS), 2: Page(TNDS, _TNDS_TAGS)},
)
DMTNDS_1_2 = Vocabulary(
    "TNDS",
    0,
    "-//OMA//DTD-DM-DDF 1.2//EN",
    0x02,
    {2: Page(TNDS, _TNDS_TAGS)},
)

_PROVISIONING_TAGS = {"wap-provisioningdoc": 0x05, "characteristic": 0x06, "parm": 0x07}
_PARM_NAMES = _tokens(
    0x07,
    """NAME NAP-ADDRESS NAP-ADDRTYPE CALLTYPE VALIDUNTIL AUTHTYPE AUTHNAME AUTHSECRET LINGER BEARER
    NAPID COUNTRY NETWORK INTERNET PROXY-ID PROXY-PROVIDER-ID DOMAIN PROVURL PXAUTH-TYPE PXAUTH-ID
    PXAUTH-PW STARTPAGE BASAUTH-ID BASAUTH-PW PUSHENABLED PXADDR PXADDRTYPE TO-NAPID PORTNBR SERVICE
    LINKSPEED DNLINKSPEED LOCAL-ADDR LOCAL-ADDRTYPE CONTEXT-ALLOW TRUST MASTER SID SOC WSP-VERSION
    PHYSICAL-PROXY-ID CLIENT-ID DELIVERY-ERR-SDU DELIVERY-ORDER TRAFFIC-CLASS MAX-SDU-SIZE
    MAX-BITRATE-UPLINK MAX-BITRATE-DNLINK RESIDUAL-BER SDU-ERROR-RATIO TRAFFIC-HANDL-PRIO
    TRANSFER-DELAY GUARANTEED-BITRATE-UPLINK GUARANTEED-BITRATE-DNLINK PXADDR-FQDN PROXY-PW
    PPGAUTH-TYPE""",
)
_KINDS_0 = _tokens(
    0x51,
    """PXLOGICAL PXPHYSICAL PORT VALIDITY NAPDEF BOOTSTRAP VENDORCONFIG CLIENTIDENTITY PXAUTHINFO
    NAPAUTHINFO ACCESS""",
)
_VALUES_0 = {
    **_tokens(
        0x85,
        """IPV4 IPV6 E164 ALPHA APN SCODE TETRA-ITSI MAN""",
    ),
    **_tokens(
        0x90,
        """ANALOG-MODEM V.120 V.110 X.31 BIT-TRANSPARENT DIRECT-ASYNCHRONOUS-DATA-SERVICE""",
    ),
    **_tokens(0x9A, "PAP CHAP HTTP-BASIC HTTP-DIGEST WTLS-SS MD5"),
    **_tokens(
        0xA2,
        """GSM-USSD GSM-SMS ANSI-136-GUTS IS-95-CDMA-SMS IS-95-CDMA-CSD IS-95-CDMA-PACKET
        ANSI-136-CSD ANSI-136-GPRS GSM-CSD GSM-GPRS AMPS-CDPD PDC-CSD PDC-PACKET IDEN-SMS IDEN-CSD
        IDEN-PACKET FLEX/REFLEX PHS-SMS PHS-CSD""",
    ),
    **_tokens(0xB7, "ANSI-136-GHOST MOBITEX-MPAK CDMA2000-1X-SIMPLE-IP CDMA2000-1X-MOBILE-IP"),
    "AUTOBAUDING": 0xC5,
    **_tokens(
        0xCA,
        """CL-WSP CO-WSP CL-SEC-WSP CO-SEC-WSP CL-SEC-WTA CO-SEC-WTA OTA-HTTP-TO OTA-HTTP-TLS-TO
        OTA-HTTP-PO OTA-HTTP-TLS-PO""",
    ),
}
_PARM_NAMES_1 = {
    "NAME": 0x07,
    "INTERNET": 0x14,
    "STARTPAGE": 0x1C,
    "TO-NAPID": 0x22,
    "PORTNBR": 0x23,
    "SERVICE": 0x24,
    **_tokens(
        0x2E,
        """AACCEPT AAUTHDATA AAUTHLEVEL AAUTHNAME AAUTHSECRET AAUTHTYPE ADDR ADDRTYPE APPID
        APROTOCOL PROVIDER-ID TO-PROXY URI RULE""",
    ),
}
_KINDS_1 = {
    "PORT": 0x53,
    "CLIENTIDENTITY": 0x58,
    "APPLICATION": 0x55,
    "APPADDR": 0x56,
    "APPAUTH": 0x57,
    "RESOURCE": 0x59,
}

PROVISIONING_1_1 = Vocabulary(
    "client provisioning",
    0x0B,
    "-//WAPFORUM//DTD PROV 1.0//EN",
    0x03,
    {
        0: Page(
            "",
            _PROVISIONING_TAGS,
            {
                ("name", ""): 0x05,
                ("value", ""): 0x06,
                ("type", ""): 0x50,
                ("version", ""): 0x45,
                ("version", "1.0"): 0x46,
                **{("name", name): token for name, token in _PARM_NAMES.items()},
                **{("type", name): token for name, token in _KINDS_0.items()},
            },
            _VALUES_0,
        ),
        1: Page(
            "",
            _PROVISIONING_TAGS,
            {
                ("name", ""): 0x05,
                ("value", ""): 0x06,
                ("type", ""): 0x50,
                **{("name", name): token for name, token in _PARM_NAMES_1.items()},
                **{("type", name): token for name, token in _KINDS_1.items()},
            },
            {
                "IPV6": 0x86,
                "E164": 0x87,
                "ALPHA": 0x88,
                "APPSRV": 0x8D,
                "OBEX": 0x8E,
                ",": 0x90,
                "HTTP-": 0x91,
                "BASIC": 0x92,
                "DIGEST": 0x93,
            },
        ),
    },
)

VOCABULARIES = (SYNCML_1_2, DMTNDS_1_2, PROVISIONING_1_1)
