import io
import shutil
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from trace_frames import START_NS, Home

from testbed.errors import BadInput, DecodeError
from testbed.trace.packet_log import PacketLog
from testbed.trace.pcapng import INBOUND, PcapngWriter, block
from testbed.trace.pcapng_reader import load_capture, read_capture
from testbed.trace.record import Frame

FRAME = Frame(0x0123456789ABCDEF, "home", "hnb", "eth0", b"12345")


def written(*frames, notes=None, key_logs=(), **options):
    file = io.BytesIO()
    writer = PcapngWriter(file, notes or {}, key_logs)
    for frame in frames:
        writer.write_frame(frame, **options)
    return file.getvalue()


def test_every_octet_of_a_small_capture_is_as_the_format_says():
    octets = written(FRAME, notes={"seed": 5}, key_logs=[b"ABC"], comment="hi")

    assert octets == bytes.fromhex(
        # Section Header Block: length 56, magic, version 1.0, length unknown
        "0a0d0d0a 3c000000 4d3c2b1a 0100 0000 ffffffffffffffff"
        "0100 0600" + b"seed=5\0\0".hex() + "0400 0b00" + b"HNB testbed\0".hex() + "0000 0000"
        "3c000000"
        # Decryption Secrets Block: TLS key log of 3 octets, padded
        "0a000000 18000000 4b534c54 03000000 41424300 18000000"
        # Interface Description Block: Ethernet, no limit; if_name, if_description, if_tsresol
        "01000000 34000000 0100 0000 00000000"
        "0200 0800" + b"hnb.eth0".hex() + "0300 0400" + b"home".hex() + "0900 0100 09000000"
        "0000 0000 34000000"
        # Enhanced Packet Block: interface 0, time, 5 octets, opt_comment, epb_flags outbound
        "06000000 3c000000 00000000 67452301 efcdab89 05000000 05000000"
        "31323334 35000000"
        "0100 0200 68690000 0200 0400 02000000 0000 0000 3c000000"
    )


def test_an_interface_is_described_once():
    assert written(FRAME, FRAME).count(b"hnb.eth0") == 1


def test_the_same_interface_name_on_two_nodes_are_two_interfaces():
    other = Frame(1, "home", "gateway", "eth0", b"67890")

    assert read_capture(written(FRAME, other)).frames == [FRAME, other]


def test_inbound_packets_say_so():
    assert struct.pack("<HHI", 2, 4, 1) in written(FRAME, direction=INBOUND)


frames = some.builds(
    Frame,
    time_ns=some.integers(0, 2**64 - 1),
    link=some.text(max_size=10),
    node=some.text(max_size=10).filter(lambda text: text == text.rstrip(".")),
    interface=some.from_regex(r"[a-z0-9]{1,8}", fullmatch=True),
    data=some.binary(max_size=50),
    link_type=some.sampled_from([1, 101]),
)


@settings(max_examples=30)
@given(some.lists(frames, max_size=3))
def test_what_is_written_is_read(given_frames):
    assert read_capture(written(*given_frames)).frames == given_frames


def test_comments_notes_and_secrets_are_read():
    capture = read_capture(written(FRAME, notes={"a": 1, "b": "x=y"}, key_logs=[b"K"], comment="c"))

    assert capture.comments == {0: "c"}
    assert capture.notes == {"a": "1", "b": "x=y"}
    assert capture.key_logs == [b"K"]
    assert capture.warnings == []


def outcome(data):
    """What became of these octets: frames, or the sentence why there are none."""
    try:
        return read_capture(data).frames
    except DecodeError as error:
        return str(error)


@given(some.binary(max_size=200))
def test_any_octets_are_a_capture_or_an_error(data):
    told = outcome(data)

    assert isinstance(told, list) or "offset" in told or "octets" in told


@given(some.integers(0, 10_000), some.integers(0, 255))
def test_a_damaged_capture_is_read_as_far_as_it_goes(place, octet):
    data = bytearray(written(FRAME, FRAME, notes={"a": "b"}, comment="c"))
    data[place % len(data)] = octet

    told = outcome(bytes(data))

    assert len(told) <= 2 if isinstance(told, list) else "offset" in told


def test_a_capture_cut_off_is_read_up_to_there_and_says_where():
    whole = written(FRAME, FRAME)

    capture = read_capture(whole[:-5])

    assert capture.frames == [FRAME]
    assert capture.warnings == [
        f"pcapng: block at offset {len(whole) - 52} says 52 octets, 47 remain, "
        f"and a multiple of 4 from 12 on is expected"
    ]


def big_endian(kind, body):
    length = struct.pack(">I", len(body) + 12)
    return struct.pack(">I", kind) + length + body + length


def section(order=">"):
    head = struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
    return big_endian(0x0A0D0D0A, head) if order == ">" else block(0x0A0D0D0A, head)


def test_big_endian_microseconds_and_unknown_blocks_of_others_are_read():
    interface = struct.pack(">HHI", 1, 0, 0) + struct.pack(">HH4s", 2, 4, b"wan0")
    packet = struct.pack(">IIIII", 0, 0, 1_500_000, 3, 3) + b"abc\0"
    data = section() + big_endian(99, b"what") + big_endian(1, interface) + big_endian(6, packet)

    capture = read_capture(data)

    assert capture.frames == [Frame(1_500_000_000, "wan0", "", "wan0", b"abc", 1)]
    assert capture.warnings == []


@pytest.mark.parametrize(
    ("resolution", "units", "time_ns"),
    [(3, 5, 5_000_000), (0x80 | 10, 512, 500_000_000), (12, 7_000, 7), (9, 3, 3)],
)
def test_any_resolution_becomes_nanoseconds(resolution, units, time_ns):
    interface = struct.pack("<HHI", 1, 0, 0) + struct.pack("<HHB3x", 9, 1, resolution)
    packet = struct.pack("<IIIII", 0, 0, units, 0, 0)

    capture = read_capture(section("<") + block(1, interface) + block(6, packet))

    assert capture.frames[0].time_ns == time_ns


def test_simple_and_obsolete_packets_are_read():
    interface = struct.pack("<HHI", 101, 0, 2)
    obsolete = struct.pack("<HHIIII", 0, 0, 0, 9, 3, 3) + b"abc\0"
    simple = struct.pack("<I", 4) + b"wxyz"

    capture = read_capture(
        section("<") + block(1, interface) + block(2, obsolete) + block(3, simple)
    )

    assert [(each.time_ns, each.data) for each in capture.frames] == [(9000, b"abc"), (0, b"wx")]


def test_a_second_section_begins_anew():
    capture = read_capture(written(FRAME) + section() + big_endian(6, bytes(20)))

    assert capture.frames == [FRAME]
    assert capture.warnings == [
        f"pcapng: block at offset {len(written(FRAME)) + 28}: packet says interface 0, "
        f"0 are described"
    ]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "unit_ns"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_classic_pcap_is_read(order, magic, unit_ns):
    head = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 101)
    packet = struct.pack(order + "IIII", 7, 5, 3, 3) + b"abc"

    capture = read_capture(head + packet + packet[:-1])

    assert capture.frames == [Frame(7_000_000_000 + 5 * unit_ns, "capture", "", "", b"abc", 101)]
    assert capture.warnings == ["pcap: packet at offset 43 says 3 octets, 2 remain"]


def test_a_file_that_is_no_capture_is_bad_input(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello")

    with pytest.raises(
        BadInput, match=r"notes.txt: neither pcapng nor pcap: at offset 0 stands 68"
    ):
        load_capture(path)


def test_a_file_that_is_not_there_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        load_capture(tmp_path / "none.pcap")


def test_the_log_is_a_capture_after_every_frame(tmp_path):
    log = PacketLog(tmp_path / "packets.log", {"seed": 1})
    log.add(FRAME)

    assert read_capture(log.path.read_bytes()).frames == [FRAME]
    log.close()


def test_a_finished_log_has_its_secrets_before_its_packets(tmp_path):
    log = PacketLog(tmp_path / "packets.log")
    log.add(FRAME)
    target = tmp_path / "trace.pcapng"
    log.finish(target, {"seed": 1}, [b"CLIENT_RANDOM 00 11\n"], {0: "lost"})

    data = target.read_bytes()
    assert data.index(b"CLIENT_RANDOM") < data.index(FRAME.data)
    assert read_capture(data).frames == [FRAME]
    assert read_capture(data).comments == {0: "lost"}
    assert [each.name for each in tmp_path.iterdir()] == ["trace.pcapng"]


def tool(name, *arguments):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    done = subprocess.run([name, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def capture_file(tmp_path):
    home = Home()
    home.out(b"hello")
    home.connect()
    home.segment(True, 1001, 24, b"\0\5hello", 5001)
    raw = Frame(START_NS + 123_456_789, "tunnel", "hnb", "ipsec0", home.sent[0].data[14:], 101)
    path = tmp_path / "trace.pcapng"
    notes = {"scenario": "lan_connectivity", "seed": 7}
    secrets = [b"CLIENT_RANDOM " + b"00" * 32 + b" " + b"11" * 48 + b"\n"]
    path.write_bytes(written(*home.sent, raw, notes=notes, key_logs=secrets, comment="a note"))
    return path, [*home.sent, raw]


@pytest.mark.slow
def test_tshark_sees_every_frame_with_its_interface_and_its_nanosecond(capture_file):
    path, frames = capture_file
    fields = ("frame.time_epoch", "frame.interface_name", "frame.interface_description")
    arguments = [each for field in fields for each in ("-e", field)]

    told = tool("tshark", "-r", str(path), "-T", "fields", *arguments).splitlines()

    expected = [
        f"{each.time_ns // 10**9}.{each.time_ns % 10**9:09d}\t"
        f"{each.node}.{each.interface}\t{each.link}"
        for each in frames
    ]
    assert told == expected


@pytest.mark.slow
def test_tshark_finds_nothing_malformed_and_all_checksums_good(capture_file):
    path, _ = capture_file
    wrong = "_ws.malformed || ip.checksum.status == 0 || udp.checksum.status == 0"
    options = [
        each
        for name in ("ip.check_checksum", "udp.check_checksum", "tcp.check_checksum")
        for each in ("-o", f"{name}:TRUE")
    ]
    wrong += " || tcp.checksum.status == 0"

    assert tool("tshark", *options, "-r", str(path), "-Y", wrong) == ""


@pytest.mark.slow
def test_tshark_sees_directions_and_comments(capture_file):
    path, frames = capture_file
    fields = ("-e", "frame.packet_flags_direction", "-e", "frame.comment")

    told = tool("tshark", "-r", str(path), "-T", "fields", *fields).splitlines()

    assert told == ["0x00000002\ta note"] * len(frames)


@pytest.mark.slow
def test_capinfos_counts_packets_interfaces_and_secrets(capture_file):
    path, frames = capture_file

    told = tool("capinfos", "-cIkDM", str(path))

    assert f"Number of packets:   {len(frames)}" in told
    assert "Number of decryption secrets in file: 1" in told
    assert "Capture comment:     scenario=lan_connectivity" in told
