"""nginx as a DM bootstrap server: packages as files, 200, 400 or 404 by its configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from testbed.errors import Unsupported
from testbed.external.program import About, ExternalProgram
from testbed.protocols.dm.account import encode_package
from testbed.protocols.dm.proofs import secured
from testbed.protocols.pki import Identity
from testbed.topology import Node

CONFIGURATION = """\
daemon off;
master_process off;
user root; # in an ordinary user's lab nobody else is there
pid {folder}/pid;
error_log stderr notice;
events {{ }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ }}
    map "$request_method $arg_dmver $arg_msid" $package {{
        default nothing-known;
{known}
        "~^GET (1\\.[23])? [0-9A-Fa-f]{{12}}$" nobody;
    }}
    server {{
        listen {address}:{port} ssl;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        location / {{ return 404; }}
        location = {path} {{
            if ($package = nothing-known) {{ return 400; }}
            if ($package = nobody) {{ return 404; }}
            rewrite ^ /packages/$package last;
        }}
{packages}
    }}
}}
"""
KNOWN = '        "~*^GET (1\\.[23])? {device}$" {device};'
PACKAGE = """\
        location = /packages/{device} {{
            internal;
            default_type '{content_type}';
            alias {folder}/{device};
        }}"""


class Nginx(ExternalProgram):
    """nginx over TLS; it holds the packages of the devices that the node's settings enrol."""

    about = About(
        program="nginx",
        package="nginx",
        command="nginx",
        plays=("bootstrap_server",),
        version_arguments=("-v",),
        version_pattern=r"nginx/(\S+)",
        ready_pattern=r"using the \S+ event method",
        cannot={
            "staged": "its answers are fixed when it starts, and it does not misbehave",
            "stage_package": "its packages are fixed when it starts",
            "packages": "its packages are fixed when it starts",
        },
        tells=frozenset({"PACKAGES"}),
    )

    def require(self, node: Node) -> None:
        """Bootstrap servers speak HTTPS."""
        if urlsplit(node.settings["url"]).scheme != "https":
            raise Unsupported(
                f"{node.name} is played by {self.about.program}, which is set up for HTTPS only; "
                f"the node's url is {node.settings['url']!r}"
            )

    def prepare(self) -> None:
        """Tell the packages, which judges compare with what is sent."""
        digests = {
            device: hashlib.sha256(body).hexdigest()
            for device, (_, body) in self._packages().items()
        }
        self.host.tell("PACKAGES", packages=digests)

    def _packages(self) -> dict[str, tuple[str, bytes]]:
        """Content-Type and octets of each device's package, by its hardware address."""
        found = {}
        for each in self.node.settings.get("enrolments", ()):
            body, content_type = encode_package(each.account, each.media_type), each.media_type
            if each.pin is not None:
                content_type = secured(content_type, each.pin, body)
            found[each.hardware_address.upper()] = (content_type, body)
        return found

    def files(self, folder: Path) -> Mapping[str, str | bytes]:
        """nginx.conf, certificate and key, and the packages."""
        identity: Identity = self.node.settings["identity"]
        url, packages = urlsplit(self.node.settings["url"]), self._packages()
        configuration = CONFIGURATION.format(
            folder=folder,
            address=self.node.address or "0.0.0.0",
            port=url.port or 443,
            path=url.path,
            known="\n".join(KNOWN.format(device=device) for device in packages),
            packages="\n".join(
                PACKAGE.format(device=device, content_type=content_type, folder=folder)
                for device, (content_type, _) in packages.items()
            ),
        )
        return {
            "nginx.conf": configuration,
            "certificate.pem": b"".join((identity.certificate, *identity.chain)),
            "key.pem": identity.key,
            **{device: body for device, (_, body) in packages.items()},
        }

    def arguments(self, folder: Path) -> Sequence[str]:
        """In the foreground, one process, nothing outside its folder."""
        return ["-e", "stderr", "-p", str(folder), "-c", f"{folder}/nginx.conf"]
