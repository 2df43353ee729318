"""The names of IANA's "IKEv2 Parameters" registry, as far as they are met.

What has no name here is told by its number: a decoder keeps it, a summary shows it.
"""

from __future__ import annotations

from collections.abc import Mapping

IKE_SA_INIT, IKE_AUTH, CREATE_CHILD_SA, INFORMATIONAL = 34, 35, 36, 37

EXCHANGES: dict[int, str] = {
    IKE_SA_INIT: "IKE_SA_INIT",
    IKE_AUTH: "IKE_AUTH",
    CREATE_CHILD_SA: "CREATE_CHILD_SA",
    INFORMATIONAL: "INFORMATIONAL",
    38: "IKE_SESSION_RESUME",
    43: "IKE_INTERMEDIATE",
    44: "IKE_FOLLOWUP_KE",
}
"""Exchange types (RFC 7296, 3.1; RFC 5723; RFC 9242; RFC 9370)."""

NO_NEXT, SA, KE, IDI, IDR, CERT, CERTREQ, AUTH = 0, 33, 34, 35, 36, 37, 38, 39
NONCE, NOTIFY, DELETE, VENDOR, TSI, TSR, SK, CP, EAP, SKF = 40, 41, 42, 43, 44, 45, 46, 47, 48, 53

PAYLOADS: dict[int, str] = {
    SA: "SA",
    KE: "KE",
    IDI: "IDi",
    IDR: "IDr",
    CERT: "CERT",
    CERTREQ: "CERTREQ",
    AUTH: "AUTH",
    NONCE: "Nonce",
    NOTIFY: "N",
    DELETE: "D",
    VENDOR: "V",
    TSI: "TSi",
    TSR: "TSr",
    SK: "SK",
    CP: "CP",
    EAP: "EAP",
    SKF: "SKF",
}
"""Payload types, by the notations of RFC 7296, 3.2, and RFC 7383."""

NOTIFIES: dict[int, str] = {
    1: "UNSUPPORTED_CRITICAL_PAYLOAD",
    4: "INVALID_IKE_SPI",
    5: "INVALID_MAJOR_VERSION",
    7: "INVALID_SYNTAX",
    9: "INVALID_MESSAGE_ID",
    11: "INVALID_SPI",
    14: "NO_PROPOSAL_CHOSEN",
    17: "INVALID_KE_PAYLOAD",
    24: "AUTHENTICATION_FAILED",
    34: "SINGLE_PAIR_REQUIRED",
    35: "NO_ADDITIONAL_SAS",
    36: "INTERNAL_ADDRESS_FAILURE",
    37: "FAILED_CP_REQUIRED",
    38: "TS_UNACCEPTABLE",
    39: "INVALID_SELECTORS",
    40: "UNACCEPTABLE_ADDRESSES",
    41: "UNEXPECTED_NAT_DETECTED",
    43: "TEMPORARY_FAILURE",
    44: "CHILD_SA_NOT_FOUND",
    16384: "INITIAL_CONTACT",
    16385: "SET_WINDOW_SIZE",
    16386: "ADDITIONAL_TS_POSSIBLE",
    16387: "IPCOMP_SUPPORTED",
    16388: "NAT_DETECTION_SOURCE_IP",
    16389: "NAT_DETECTION_DESTINATION_IP",
    16390: "COOKIE",
    16391: "USE_TRANSPORT_MODE",
    16392: "HTTP_CERT_LOOKUP_SUPPORTED",
    16393: "REKEY_SA",
    16394: "ESP_TFC_PADDING_NOT_SUPPORTED",
    16395: "NON_FIRST_FRAGMENTS_ALSO",
    16396: "MOBIKE_SUPPORTED",
    16397: "ADDITIONAL_IP4_ADDRESS",
    16398: "ADDITIONAL_IP6_ADDRESS",
    16399: "NO_ADDITIONAL_ADDRESSES",
    16400: "UPDATE_SA_ADDRESSES",
    16401: "COOKIE2",
    16402: "NO_NATS_ALLOWED",
    16403: "AUTH_LIFETIME",
    16404: "MULTIPLE_AUTH_SUPPORTED",
    16405: "ANOTHER_AUTH_FOLLOWS",
    16406: "REDIRECT_SUPPORTED",
    16407: "REDIRECT",
    16417: "EAP_ONLY_AUTHENTICATION",
    16418: "CHILDLESS_IKEV2_SUPPORTED",
    16420: "IKEV2_MESSAGE_ID_SYNC_SUPPORTED",
    16430: "IKEV2_FRAGMENTATION_SUPPORTED",
    16431: "SIGNATURE_HASH_ALGORITHMS",
    16438: "INTERMEDIATE_EXCHANGE_SUPPORTED",
}
"""Notify message types; those below 16384 are errors (RFC 7296, 3.10.1)."""
FIRST_STATUS_NOTIFY = 16384

ENCRYPTION, PRF, INTEGRITY, KEY_EXCHANGE, SEQUENCE_NUMBERS = 1, 2, 3, 4, 5

TRANSFORMS: dict[int, dict[int, str]] = {
    ENCRYPTION: {
        3: "3DES",
        11: "NULL",
        12: "AES_CBC",
        13: "AES_CTR",
        14: "AES_CCM_8",
        15: "AES_CCM_12",
        16: "AES_CCM_16",
        18: "AES_GCM_8",
        19: "AES_GCM_12",
        20: "AES_GCM_16",
        23: "CAMELLIA_CBC",
        28: "CHACHA20_POLY1305",
    },
    PRF: {
        1: "HMAC_MD5",
        2: "HMAC_SHA1",
        4: "AES128_XCBC",
        5: "HMAC_SHA2_256",
        6: "HMAC_SHA2_384",
        7: "HMAC_SHA2_512",
        8: "AES128_CMAC",
    },
    INTEGRITY: {
        1: "HMAC_MD5_96",
        2: "HMAC_SHA1_96",
        5: "AES_XCBC_96",
        8: "AES_CMAC_96",
        12: "HMAC_SHA2_256_128",
        13: "HMAC_SHA2_384_192",
        14: "HMAC_SHA2_512_256",
    },
    KEY_EXCHANGE: {
        1: "MODP_768",
        2: "MODP_1024",
        5: "MODP_1536",
        14: "MODP_2048",
        15: "MODP_3072",
        16: "MODP_4096",
        17: "MODP_6144",
        18: "MODP_8192",
        19: "ECP_256",
        20: "ECP_384",
        21: "ECP_521",
        22: "MODP_1024_160",
        23: "MODP_2048_224",
        24: "MODP_2048_256",
        27: "BRAINPOOL_224",
        28: "BRAINPOOL_256",
        29: "BRAINPOOL_384",
        30: "BRAINPOOL_512",
        31: "CURVE_25519",
        32: "CURVE_448",
    },
    SEQUENCE_NUMBERS: {0: "NO_EXT_SEQ", 1: "EXT_SEQ"},
}
"""Transform ids by transform type (RFC 7296, 3.3.2), without the prefix of their type."""

IKE_PROTOCOL, AH_PROTOCOL, ESP_PROTOCOL = 1, 2, 3
PROTOCOLS: dict[int, str] = {IKE_PROTOCOL: "IKE", AH_PROTOCOL: "AH", ESP_PROTOCOL: "ESP"}
"""Security protocol identifiers (RFC 7296, 3.3.1)."""

ID_IPV4, ID_FQDN, ID_RFC822, ID_IPV6, ID_DN, ID_DER_GN, ID_KEY = 1, 2, 3, 5, 9, 10, 11
IDENTITIES: dict[int, str] = {
    ID_IPV4: "ID_IPV4_ADDR",
    ID_FQDN: "ID_FQDN",
    ID_RFC822: "ID_RFC822_ADDR",
    ID_IPV6: "ID_IPV6_ADDR",
    ID_DN: "ID_DER_ASN1_DN",
    ID_DER_GN: "ID_DER_ASN1_GN",
    ID_KEY: "ID_KEY_ID",
}
"""Identification types (RFC 7296, 3.5)."""

X509 = 4
"""A certificate encoding (RFC 7296, 3.6)."""

METHODS: dict[int, str] = {
    1: "RSA signature",
    2: "shared key",
    3: "DSS signature",
    9: "ECDSA P-256",
    10: "ECDSA P-384",
    11: "ECDSA P-521",
    13: "NULL",
    14: "digital signature",
}
"""Authentication methods (RFC 7296, 3.8; RFC 4754; RFC 7427)."""

CFG_REQUEST, CFG_REPLY, CFG_SET, CFG_ACK = 1, 2, 3, 4
CONFIGURATIONS: dict[int, str] = {
    CFG_REQUEST: "CFG_REQUEST",
    CFG_REPLY: "CFG_REPLY",
    CFG_SET: "CFG_SET",
    CFG_ACK: "CFG_ACK",
}

INTERNAL_IP4_ADDRESS, INTERNAL_IP4_NETMASK, INTERNAL_IP4_DNS = 1, 2, 3
INTERNAL_IP6_ADDRESS, INTERNAL_IP6_DNS, INTERNAL_IP4_SUBNET = 8, 10, 13
ATTRIBUTES: dict[int, str] = {
    INTERNAL_IP4_ADDRESS: "INTERNAL_IP4_ADDRESS",
    INTERNAL_IP4_NETMASK: "INTERNAL_IP4_NETMASK",
    INTERNAL_IP4_DNS: "INTERNAL_IP4_DNS",
    4: "INTERNAL_IP4_NBNS",
    6: "INTERNAL_IP4_DHCP",
    7: "APPLICATION_VERSION",
    INTERNAL_IP6_ADDRESS: "INTERNAL_IP6_ADDRESS",
    INTERNAL_IP6_DNS: "INTERNAL_IP6_DNS",
    12: "INTERNAL_IP6_DHCP",
    INTERNAL_IP4_SUBNET: "INTERNAL_IP4_SUBNET",
    14: "SUPPORTED_ATTRIBUTES",
    15: "INTERNAL_IP6_SUBNET",
    20: "P_CSCF_IP4_ADDRESS",
    21: "P_CSCF_IP6_ADDRESS",
    25: "INTERNAL_DNS_DOMAIN",
}
"""Configuration payload attribute types (RFC 7296, 3.15.1)."""

TS_IPV4_RANGE, TS_IPV6_RANGE = 7, 8
"""Traffic selector types (RFC 7296, 3.13.1)."""


def name(table: Mapping[int, str], number: int) -> str:
    """The name of a number; the number itself where it has none."""
    return table.get(number) or str(number)


def number(table: Mapping[int, str], wanted: str) -> int:
    """The number of a name that the table has."""
    return next(each for each, told in table.items() if told == wanted)
