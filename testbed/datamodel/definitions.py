"""The data models: `Device:1.1` and `InternetGatewayDevice:1.2`, and the FAPService of TR-196.

Names, types and notifications are those of TR-106, TR-098, TR-111, TR-196 and TR-262; of each only
what discovery, registration, association and connection requests need.
"""

from __future__ import annotations

from testbed.datamodel.model import Model

DEVICE = "Device."
GATEWAY = "InternetGatewayDevice."

COMMON = """
DeviceSummary                                   | R  | string(1024)          |       | forced
DeviceInfo.Manufacturer                         | R  | string(64)            |       |
DeviceInfo.ManufacturerOUI                      | R  | string(6:6)           |       |
DeviceInfo.ModelName                            | R  | string(64)            |       |
DeviceInfo.ProductClass                         | R  | string(64)            |       |
DeviceInfo.SerialNumber                         | R  | string(64)            |       |
DeviceInfo.HardwareVersion                      | R  | string(64)            |       | forced
DeviceInfo.UpTime                               | R  | unsignedInt           |       | deny
DeviceInfo.FirstUseDate                         | R  | dateTime              |       |
ManagementServer.URL                            | RW | string(256)           |       |
ManagementServer.Username                       | RW | string(256)           |       |
ManagementServer.Password                       | RW | string(256)           |       | hidden
ManagementServer.PeriodicInformEnable           | RW | boolean               | 0     |
ManagementServer.PeriodicInformInterval         | RW | unsignedInt[1:]       | 86400 |
ManagementServer.PeriodicInformTime             | RW | dateTime              |       |
ManagementServer.ParameterKey                   | R  | string(32)            |       | forced deny
ManagementServer.ConnectionRequestURL           | R  | string(256)           |       | forced active
ManagementServer.ConnectionRequestUsername      | RW | string(256)           |       |
ManagementServer.ConnectionRequestPassword      | RW | string(256)           |       | hidden
ManagementServer.UpgradesManaged                | RW | boolean               | 0     |
ManagementServer.CWMPRetryMinimumWaitInterval   | RW | unsignedInt[1:65535]  | 5     |
ManagementServer.CWMPRetryIntervalMultiplier    | RW | unsignedInt[1000:65535] | 2000 |
ManagementServer.UDPConnectionRequestAddress    | R  | string(256)           |       |
ManagementServer.UDPConnectionRequestAddressNotificationLimit | RW | unsignedInt | 0  |
ManagementServer.STUNEnable                     | RW | boolean               | 0     |
ManagementServer.STUNServerAddress              | RW | string(256)           |       |
ManagementServer.STUNServerPort                 | RW | unsignedInt[0:65535]  | 3478  |
ManagementServer.STUNUsername                   | RW | string(256)           |       |
ManagementServer.STUNPassword                   | RW | string(256)           |       | hidden
ManagementServer.STUNMaximumKeepAlivePeriod     | RW | int[-1:]              | -1    |
ManagementServer.STUNMinimumKeepAlivePeriod     | RW | unsignedInt           | 0     |
ManagementServer.NATDetected                    | R  | boolean               | 0     |
"""
"""What both roots have (TR-106, TR-098, TR-111 Table 6)."""

DEVICE_ONLY = """
DeviceInfo.SoftwareVersion                      | R  | string(64)            |       | forced
DeviceInfo.ProvisioningCode                     | RW | string(64)            |       |
GatewayInfo.ManufacturerOUI                     | R  | string(6)             |       | active
GatewayInfo.ProductClass                        | R  | string(64)            |       | active
GatewayInfo.SerialNumber                        | R  | string(64)            |       | active
LAN.AddressingType                              | R  | string{DHCP}{Static}  | DHCP  |
LAN.IPAddress                                   | R  | string(45)            |       | forced
LAN.SubnetMask                                  | R  | string(45)            |       |
LAN.DefaultGateway                              | R  | string(45)            |       |
LAN.DNSServers                                  | R  | string(256)           |       |
LAN.MACAddress                                  | R  | string(17)            |       |
"""
"""What only `Device:1.1` has (TR-106, TR-111 Table 1)."""

GATEWAY_ONLY = """
DeviceInfo.SoftwareVersion                      | R  | string(64)            |       | forced always
DeviceInfo.SpecVersion                          | R  | string(16)            | 1.0   | forced
DeviceInfo.ProvisioningCode                     | RW | string(64)            |       | forced always
ManagementServer.ManageableDeviceNumberOfEntries   | R  | unsignedInt        |       |
ManagementServer.ManageableDeviceNotificationLimit | RW | unsignedInt        | 0     |
ManagementServer.ManageableDevice.{i}.          | R  | object                | 0     |
ManagementServer.ManageableDevice.{i}.ManufacturerOUI | R | string(6)        |       | deny
ManagementServer.ManageableDevice.{i}.SerialNumber    | R | string(64)       |       | deny
ManagementServer.ManageableDevice.{i}.ProductClass    | R | string(64)       |       | deny
WANDevice.{i}.                                  | R  | object                | 1     |
WANDevice.{i}.WANConnectionDevice.{i}.          | R  | object                | 1     |
WANDevice.{i}.WANConnectionDevice.{i}.WANIPConnection.{i}. | RW | object     | 1     |
WANDevice.{i}.WANConnectionDevice.{i}.WANIPConnection.{i}.NATEnabled | RW | boolean | 1 |
WANDevice.{i}.WANConnectionDevice.{i}.WANIPConnection.{i}.ExternalIPAddress | RW | string(45) | | forced active
WANDevice.{i}.WANConnectionDevice.{i}.WANIPConnection.{i}.DefaultGateway    | RW | string(45) | |
WANDevice.{i}.WANConnectionDevice.{i}.WANIPConnection.{i}.MACAddress        | RW | string(17) | |
"""  # noqa: E501 - a table's line is one parameter
"""What only `InternetGatewayDevice:1.2` has (TR-098, TR-111 Table 2)."""

FAP_SERVICE = """
Services.FAPService.{i}.                                      | R  | object                | 1 |
Services.FAPService.{i}.DeviceType                            | R  | string{Standalone}{Integrated} | |
Services.FAPService.{i}.DNPrefix                              | RW | string(256)           | |
Services.FAPService.{i}.Capabilities.GPSEquipped              | R  | boolean               | 1 |
Services.FAPService.{i}.FAPControl.SelfConfigEvents           | RW | string(256)           | |
Services.FAPService.{i}.FAPControl.EnclosureTamperingDetected | RW | boolean               | 0 |
Services.FAPService.{i}.FAPControl.UMTS.Gateway.SecGWServer1  | RW | string(64)            | |
Services.FAPService.{i}.FAPControl.UMTS.Gateway.SecGWServer2  | RW | string(64)            | |
Services.FAPService.{i}.FAPControl.UMTS.Gateway.SecGWServer3  | RW | string(64)            | |
Services.FAPService.{i}.FAPControl.UMTS.Gateway.FAPGWServer1  | RW | string(64)            | |
Services.FAPService.{i}.FAPControl.UMTS.Gateway.FAPGWServer2  | RW | string(64)            | |
Services.FAPService.{i}.FAPControl.UMTS.Gateway.FAPGWServer3  | RW | string(64)            | |
Services.FAPService.{i}.FAPControl.UMTS.Gateway.FAPGWPort     | RW | unsignedInt[:65535]   | 29169 |
Services.FAPService.{i}.AccessMgmt.AccessMode                 | RW | string{Open Access}{Closed Access}{Hybrid Access} | | deny
Services.FAPService.{i}.AccessMgmt.CSGID                      | RW | unsignedInt[:134217727] | |
Services.FAPService.{i}.AccessMgmt.AccessControlList          | RW | string(4096)          | |
Services.FAPService.{i}.AccessMgmt.HNBName                    | RW | string(48)            | |
Services.FAPService.{i}.AccessMgmt.MemberDetailNumberOfEntries | R | unsignedInt           | |
Services.FAPService.{i}.AccessMgmt.MemberDetail.{i}.          | RW | object                | 0 |
Services.FAPService.{i}.AccessMgmt.MemberDetail.{i}.Enable    | RW | boolean               | 0 |
Services.FAPService.{i}.AccessMgmt.MemberDetail.{i}.IMSI      | RW | string(15)            | |
Services.FAPService.{i}.CellConfig.UMTS.CN.PLMNType           | RW | string{GSM-MAP}{ANSI-41} | |
Services.FAPService.{i}.CellConfig.UMTS.CN.PLMNID             | RW | string(6)             | |
Services.FAPService.{i}.CellConfig.UMTS.CN.SAC                | RW | unsignedInt[0:65535]  | |
Services.FAPService.{i}.CellConfig.UMTS.CN.LACRAC             | RW | string(256)           | |
Services.FAPService.{i}.CellConfig.UMTS.CN.LACInUse           | R  | unsignedInt[:65535]   | |
Services.FAPService.{i}.CellConfig.UMTS.CN.RACInUse           | R  | unsignedInt[:255]     | |
Services.FAPService.{i}.CellConfig.UMTS.RAN.RNCID             | RW | unsignedInt[0:65535]  | |
Services.FAPService.{i}.CellConfig.UMTS.RAN.CellID            | RW | unsignedInt[:268435455] | |
"""  # noqa: E501 - a table's line is one parameter
"""What FAPService:1.1 and FAPService:2.1 have in common (TR-196 issue 1 and 2)."""

FAP_CONTROL = """
{control}OpState    | R  | boolean | 0 | forced active
{control}AdminState | RW | boolean | 0 |
{control}RFTxStatus | R  | boolean | 0 | forced active
"""

GPS = """
{gps}ScanOnBoot             | RW | boolean | 1 |
{gps}ScanPeriodically       | RW | boolean | 0 |
{gps}PeriodicInterval       | RW | unsignedInt | |
{gps}ScanTimeout            | RW | unsignedInt | |
{gps}ScanStatus             | R  | string{Indeterminate}{InProgress}{Success}{Error}{Error_TIMEOUT} | |
{gps}ErrorDetails           | R  | string(256) | |
{gps}LastScanTime           | R  | dateTime | | active
{gps}LastSuccessfulScanTime | R  | dateTime | | deny
{gps}LockedLatitude         | R  | int[-90000000:90000000] | | deny
{gps}LockedLongitude        | R  | int[-180000000:180000000] | | deny
{gps}NumberOfSatellites     | R  | unsignedInt | | deny
"""  # noqa: E501 - a table's line is one parameter

NEIGHBOURS = """
{rem}ScanOnBoot                        | RW | boolean | 1 |
{rem}ScanPeriodically                  | RW | boolean | 0 |
{rem}ScanStatus                        | R  | string{Indeterminate}{InProgress}{Success}{Error}{Error_TIMEOUT} | |
{rem}LastScanTime                      | R  | dateTime | | active
{rem}MaxCellEntries                    | R  | unsignedInt | 16 |
{rem}CellNumberOfEntries               | R  | unsignedInt | |
{rem}Cell.{i}.                         | R  | object | 0 |
{rem}Cell.{i}.RF.UARFCNDL              | R  | unsignedInt[0:16383] | |
{rem}Cell.{i}.RF.CPICHRSCP             | R  | int[-120:-25] | |
{rem}Cell.{i}.RF.PrimaryScramblingCode | R  | unsignedInt[0:511] | |
{rem}Cell.{i}.BCCH.PLMNType            | R  | string{GSM-MAP}{ANSI-41} | |
{rem}Cell.{i}.BCCH.PLMNID              | R  | string(6) | |
{rem}Cell.{i}.BCCH.LAC                 | R  | unsignedInt[0:65535] | |
{rem}Cell.{i}.BCCH.RAC                 | R  | unsignedInt[0:255] | |
{rem}Cell.{i}.BCCH.CellID              | R  | unsignedInt[:268435455] | |
"""  # noqa: E501 - a table's line is one parameter

_SERVICE = "Services.FAPService.{i}."
PLACES = {
    1: {
        "control": f"{_SERVICE}FAPControl.",
        "gps": f"{_SERVICE}GPS.",
        "rem": f"{_SERVICE}REM.WCDMAFDD.",
    },
    2: {
        "control": f"{_SERVICE}FAPControl.UMTS.",
        "gps": "FAP.GPS.",
        "rem": f"{_SERVICE}REM.UMTS.WCDMA.",
    },
}
"""Where each issue of TR-196 has its state, its GPS (issue 2: TR-262) and its neighbour cells."""


def _fap_tables(issue: int) -> list[str]:
    if issue not in PLACES:
        raise ValueError(f"TR-196 has issues 1 and 2, not {issue}")
    tables = [FAP_SERVICE]
    for table in (FAP_CONTROL, GPS, NEIGHBOURS):
        filled = table
        for name, place in PLACES[issue].items():
            filled = filled.replace("{" + name + "}", place)
        tables.append(filled)
    return tables


def device_model() -> Model:
    """`Device:1.1`: a LAN device behind a gateway."""
    return Model.of(DEVICE, [COMMON, DEVICE_ONLY])


def gateway_model() -> Model:
    """`InternetGatewayDevice:1.2`: a gateway that is managed itself."""
    return Model.of(GATEWAY, [COMMON, GATEWAY_ONLY])


def hnb_model(root: str = DEVICE, tr196_issue: int = 1) -> Model:
    """An HNB: one FAPService below either root.

    Args:
        root: `DEVICE` or `GATEWAY`.
        tr196_issue: 1 (FAPService:1.1, UMTS only) or 2 (FAPService:2.1 with TR-262's GPS).

    Raises:
        ValueError: no such root or issue.
    """
    if root not in (DEVICE, GATEWAY):
        raise ValueError(f"the root is {DEVICE} or {GATEWAY}, not {root!r}")
    own = DEVICE_ONLY if root == DEVICE else GATEWAY_ONLY
    return Model.of(root, [COMMON, own, *_fap_tables(tr196_issue)])


def device_summary(model: Model, tr196_issue: int | None = None) -> str:
    """The DeviceSummary (TR-106 2.1.1) of a model: root and service with their versions."""
    root = "Device:1.1[](Baseline:1,UDPConnReq:1)"
    if model.root == GATEWAY:
        root = "InternetGatewayDevice:1.2[](Baseline:1,DeviceAssociation:1,UDPConnReq:1)"
    if tr196_issue is None:
        return root
    return f"{root}, FAPService:{tr196_issue}.1[1](Baseline:1)"
