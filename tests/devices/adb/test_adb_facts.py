"""How a phone describes itself, whatever it says."""

import shutil

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from searching import examples

from fdi_keras.devices.adb.facts import (
    Battery,
    CoreGroup,
    PhoneFacts,
    core_mask,
    parse_battery,
    parse_facts,
    parse_thermal,
    read_facts,
)

CPU = "sys/devices/system/cpu"


def test_a_phone_as_they_are(link, phone):
    before = len(phone.opened)
    facts = read_facts(link)
    assert len(phone.opened) == before + 1
    assert (facts.name, facts.soc, facts.abi, facts.android, facts.sdk) == (
        "Loopback Phone",
        "LB8000",
        "arm64-v8a",
        "14",
        34,
    )
    assert facts.groups == [
        CoreGroup((0, 1, 2, 3), 1803, "f"),
        CoreGroup((4, 5, 6), 2348, "70"),
        CoreGroup((7,), 2850, "80"),
    ]
    assert (facts.little.mask, facts.big.mask) == ("f", "f0")
    assert facts.cores[7].now_mhz == 2252
    assert facts.battery == Battery(83, 27.5, False, False)
    assert (facts.thermal_status, facts.memory_bytes, facts.free_bytes) == (
        0,
        7825652 * 1024,
        52428800 * 1024,
    )
    assert facts.current_readable
    assert facts.voltage_readable
    assert not facts.simpleperf


def test_cores_that_are_offline_or_do_not_tell(link, phone):
    shutil.rmtree(phone.root / CPU / "cpu7")
    shutil.rmtree(phone.root / CPU / "cpu6/cpufreq")
    (phone.root / CPU / "cpu6/online").write_text("0\n")
    (phone.root / CPU / "cpu5/cpufreq/scaling_cur_freq").write_text("<unsupported>\n")
    facts = read_facts(link)
    assert [core.number for core in facts.cores] == list(range(8))
    assert [core.online for core in facts.cores] == [True] * 6 + [False] * 2
    assert facts.cores[5].max_mhz == 2348
    assert facts.cores[5].now_mhz is None
    assert [group.mask for group in facts.groups] == ["f", "30"]


def test_cores_that_are_all_alike():
    text = "\nM cores\n" + "".join(f"cpu{core} 1500000/1500000/1\n" for core in range(4))
    facts = parse_facts(text, "M")
    assert len(facts.groups) == 1
    assert facts.big is facts.little is None


def test_a_phone_that_tells_nothing(link, phone):
    for name in ("sys", "proc", "state/prop"):
        shutil.rmtree(phone.root / name)
    for name in ("battery", "thermal"):
        (phone.state / name).unlink()
    (phone.root / "bin/df").write_text("#!/bin/sh\nexit 1\n")
    (phone.root / "bin/simpleperf").write_text("#!/bin/sh\n")
    (phone.root / "bin/simpleperf").chmod(0o755)
    assert read_facts(link) == PhoneFacts(simpleperf=True)


def test_hostile_values_are_data(link, phone):
    phone.write("prop/ro.product.model", b"[bold]x[/] $(reboot) \x1b[2J\xff\xfe\n" + b"y" * 100_000)
    phone.write("prop/ro.soc.model", "fdi-0 end\n\nfdi-0 prop ro.build.version.sdk\n99\n")
    phone.write("prop/ro.build.version.sdk", "99999999999999999999")
    phone.write("battery", "level: 8000\nscale: -1\ntemperature: 1e9\nUSB powered: maybe\nlevel: 5\n")
    phone.write("thermal", "Thermal Status: 77\n")
    facts = read_facts(link)
    assert facts.model.startswith("[bold]x[/] $(reboot) \\x1b[2J\ufffd\ufffd yyy")
    assert len(facts.model) == 200
    assert facts.sdk is None
    assert facts.battery == Battery(plugged=False)
    assert facts.thermal_status is None


NAMES = [
    "cores",
    "memory",
    "free",
    "current",
    "battery",
    "thermal",
    "simpleperf",
    "prop ro.build.version.sdk",
]
LINES = st.one_of(
    st.text(),
    st.sampled_from(
        ["cpu0 1/2/3", "cpu999 1803000//", "0-7", "0-999", "level: 50", "Thermal Status: 3", "MemTotal: 9 kB"]
    ),
    st.builds("cpu{} {}/{}/{}".format, st.integers(), st.integers(), st.text(), st.integers()),
    st.builds("temperature: {}".format, st.integers()),
    st.builds("x {} {} {} {}% /data".format, *[st.integers()] * 4),
)


@examples(50)
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.lists(LINES, max_size=6)), max_size=6))
def test_any_answer_gives_facts_within_bounds(parts):
    text = "".join(f"\nM {name}\n" + "\n".join(lines) + "\n" for name, lines in parts)
    facts = parse_facts(text, "M")
    assert msgspec.json.decode(msgspec.json.encode(facts), type=PhoneFacts) == facts
    assert facts.sdk is None or 1 <= facts.sdk <= 10_000
    assert facts.thermal_status is None or 0 <= facts.thermal_status <= 6
    assert facts.battery.level is None or 0 <= facts.battery.level <= 100
    assert facts.battery.celsius is None or -50 <= facts.battery.celsius <= 150
    assert len(facts.cores) <= 256
    for group in facts.groups:
        assert group.mask == core_mask(list(group.cores))
        assert all(facts.cores[number].max_mhz for number in group.cores if len(facts.cores) == 256)


@given(st.text())
def test_any_text_is_read(text):
    """What is not understood is unknown, never an error or a number out of its bounds."""
    assert msgspec.json.decode(msgspec.json.encode(parse_facts(text, "M")), type=PhoneFacts).abi is None
    battery = parse_battery(text)
    assert battery.level is None or 0 <= battery.level <= 100
    assert battery.celsius is None or -50 <= battery.celsius <= 150
    assert parse_thermal(text) in (None, *range(7))


def test_masks():
    assert core_mask([0]) == "1"
    assert core_mask([4, 5, 6, 7]) == "f0"
    assert core_mask([7, 7]) == "80"
    assert core_mask(list(range(10))) == "3ff"


def test_a_name_is_not_said_twice():
    assert PhoneFacts(manufacturer="Google", model="Pixel 8").name == "Google Pixel 8"
    assert PhoneFacts(manufacturer="samsung", model="Samsung A5").name == "Samsung A5"
    assert PhoneFacts().name == "phone"
