"""The module config_txt, on the contents that config.txt can have."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

BUTTON = "dtoverlay=gpio-shutdown,gpio_pin=17,active_low=1,gpio_pull=up"
UART = "enable_uart=1"
MARKER = "# House power monitor, role me: set in the inventory, overwritten here."
OWN_UART = f"{MARKER}\n{UART}\n"
OWN_BUTTON = f"{MARKER}\n{BUTTON}\n"


def edit(  # the arguments of the module, and its answer
    config_txt: ModuleType,
    content: str,
    line: str,
    includes: dict[str, str] | None = None,
    *,
    present: bool = True,
    exclusive: bool = False,
    remedy: str = "",
) -> str:
    files = {name: text.encode("latin-1") for name, text in (includes or {}).items()}
    after, _ = config_txt.edit(
        "config.txt",
        content.encode("latin-1"),
        config_txt.Wanted(line, "me", exclusive, remedy),
        files.get,
        present=present,
    )
    assert isinstance(after, bytes)
    return after.decode("latin-1")


@pytest.mark.parametrize(
    ("before", "line"),
    [
        pytest.param("enable_uart=1\n", UART, id="plain"),
        pytest.param("enable_uart=1", UART, id="no-final-newline"),
        pytest.param("enable_uart=1\r\n", UART, id="crlf"),
        pytest.param("  enable_uart=1  \n", UART, id="indented"),
        pytest.param("\xef\xbb\xbfenable_uart=1\n", UART, id="byte-order-mark"),
        pytest.param("[pi4]\narm_boost=1\n[all]\nenable_uart=1\n", UART, id="below-all"),
        pytest.param("[PI4]\n[ALL]\nenable_uart=1\n", UART, id="filters-in-capitals"),
        pytest.param("enable_uart=0\nenable_uart=1\n", UART, id="last-one-counts"),
        pytest.param("[pi3]\nenable_uart=0\n[all]\nenable_uart=1\n", UART, id="overridden-for-all"),
        pytest.param("enable_uart=1\n[none]\nenable_uart=0\n", UART, id="below-none"),
        pytest.param("enable_uart=1\n[pi4]\nenable_uart=1\n", UART, id="said-again-for-some"),
        pytest.param(f"{BUTTON}\n", BUTTON, id="overlay"),
        pytest.param(
            "dtoverlay=gpio-shutdown,gpio_pin=17\n", BUTTON, id="overlay-with-defaults-left-out"
        ),
        pytest.param(
            "dtoverlay=gpio-shutdown,gpio_pull=up,gpio_pin=0x11,active_low=on,debounce=200\n",
            BUTTON,
            id="overlay-said-otherwise",
        ),
        pytest.param(
            "dtoverlay=gpio-shutdown:gpio_pin=17\n", BUTTON, id="overlay-in-the-old-spelling"
        ),
        pytest.param(
            "dtoverlay=gpio-shutdown\ndtparam=gpio_pin=17\n", BUTTON, id="parameter-on-its-own-line"
        ),
        pytest.param("dtparam=watchdog\n", "dtparam=watchdog=on", id="dtparam-without-value"),
        pytest.param(
            "dtparam=audio=on,watchdog=on\n", "dtparam=watchdog=on", id="dtparam-beside-another"
        ),
        pytest.param("dtoverlay=i2c-rtc,ds3231\n", "dtoverlay=i2c-rtc,ds3231", id="overlay-flag"),
    ],
)
def test_what_counts_already_is_left_alone(config_txt: ModuleType, before: str, line: str) -> None:
    assert edit(config_txt, before, line) == before


@pytest.mark.parametrize(
    ("before", "added"),
    [
        pytest.param("", OWN_UART, id="empty-or-missing"),
        pytest.param("arm_boost=1\n", OWN_UART, id="no-filter"),
        pytest.param("arm_boost=1", f"\n{OWN_UART}", id="no-final-newline"),
        pytest.param("a=1\r\n", OWN_UART.replace("\n", "\r\n"), id="crlf"),
        pytest.param("a=1\r\nb=2", "\r\n" + OWN_UART.replace("\n", "\r\n"), id="crlf-not-final"),
        pytest.param("#enable_uart=1\n", OWN_UART, id="commented-out"),
        pytest.param("enable_uart = 1\n", OWN_UART, id="spaces-that-the-firmware-does-not-take"),
        pytest.param("[cm5]\na=1\n\n[all]\n", OWN_UART, id="all-is-there"),
        pytest.param("[pi4]\na=1\n", f"[all]\n{OWN_UART}", id="below-a-model"),
        pytest.param("[pi4]\nenable_uart=1\n", f"[all]\n{OWN_UART}", id="for-some-boards-only"),
        pytest.param("[none]\nenable_uart=1\n", f"[all]\n{OWN_UART}", id="for-no-board"),
        pytest.param("[none]\nenable_uart=0\n", f"[all]\n{OWN_UART}", id="against-for-no-board"),
        pytest.param(
            "[none]\n[gpio4=1]\nenable_uart=0\n", f"[all]\n{OWN_UART}", id="none-and-a-pin-is-none"
        ),
        pytest.param("[gpio4=1]\n[pi4]\na=1\n", f"[all]\n{OWN_UART}", id="combined"),
        pytest.param("[EDID=X-Y]\n", f"[all]\n{OWN_UART}", id="monitor"),
        pytest.param("[0x12345678]\n", f"[all]\n{OWN_UART}", id="serial-number"),
        pytest.param("caf\xc3\xa9=\xff\n", OWN_UART, id="bytes-that-are-no-text"),
        pytest.param("a=1\n\n\n", OWN_UART, id="empty-lines-stay"),
    ],
)
def test_a_line_is_added_where_it_counts_and_nothing_else_changes(
    config_txt: ModuleType, before: str, added: str
) -> None:
    after = edit(config_txt, before, UART)
    assert after == before + added
    assert edit(config_txt, after, UART) == after


@pytest.mark.parametrize(
    ("content", "includes", "added"),
    [
        pytest.param("include a.txt\n", {"a.txt": "enable_uart=1\n"}, "", id="counts-there"),
        pytest.param(
            "include a.txt\n", {"a.txt": "include b.txt\n", "b.txt": "enable_uart=1"}, "", id="deep"
        ),
        pytest.param("include a.txt\n", {}, OWN_UART, id="missing"),
        pytest.param(
            "include a.txt\n", {"a.txt": "[pi4]\n"}, f"[all]\n{OWN_UART}", id="leaves-a-filter-on"
        ),
        pytest.param(
            "[pi4]\ninclude a.txt\n",
            {"a.txt": "[all]\nenable_uart=1\n"},
            f"[all]\n{OWN_UART}",
            id="read-by-some-boards-only",
        ),
        pytest.param(
            "[none]\ninclude a.txt\n[all]\n",
            {"a.txt": "enable_uart=0\n"},
            OWN_UART,
            id="read-by-no-board",
        ),
        pytest.param(
            "include config.txt\n", {"config.txt": "include config.txt\n"}, OWN_UART, id="itself"
        ),
    ],
)
def test_included_files_are_read(
    config_txt: ModuleType, content: str, includes: dict[str, str], added: str
) -> None:
    assert edit(config_txt, content, UART, includes) == content + added


@pytest.mark.parametrize(
    ("content", "line", "where"),
    [
        pytest.param("a=1\nenable_uart=0\n", UART, "line 2", id="other-value"),
        pytest.param("enable_uart=1\nenable_uart=0\n", UART, "line 2", id="overridden-later"),
        pytest.param("[pi3]\nenable_uart=0\n", UART, "line 2", id="other-value-for-some"),
        pytest.param("enable_uart=1\n[pi3]\nenable_uart=0\n", UART, "line 3", id="taken-from-some"),
        pytest.param(f"{OWN_UART}enable_uart=0\n", UART, "line 3", id="below-our-own"),
        pytest.param("dtoverlay=gpio-ir,gpio_pin=15\n", UART, "GPIO 15", id="overlay-on-the-uart"),
        pytest.param("dtparam=watchdog=off\n", "dtparam=watchdog=on", "line 1", id="dtparam"),
        pytest.param("dtoverlay=gpio-ir,gpio_pin=17\n", BUTTON, "GPIO 17", id="gpio-ir"),
        pytest.param("dtoverlay=w1-gpio,gpiopin=17\n", BUTTON, "GPIO 17", id="w1-gpio"),
        pytest.param("dtoverlay=gpio-fan,gpiopin=17,temp=60000\n", BUTTON, "GPIO 17", id="fan"),
        pytest.param("dtoverlay=gpio-poweroff,gpiopin=17\n", BUTTON, "GPIO 17", id="poweroff"),
        pytest.param("dtoverlay=gpio-led,gpio=17,label=x\n", BUTTON, "GPIO 17", id="led"),
        pytest.param(
            "dtoverlay=gpio-ir\ndtparam=gpio_pin=17\n", BUTTON, "GPIO 17", id="dtparam-pin"
        ),
        pytest.param("dtoverlay=rotary-encoder\n", BUTTON, "GPIO 17", id="by-its-default"),
        pytest.param("dtoverlay=piscreen,speed=16\n", BUTTON, "GPIO 17", id="without-a-parameter"),
        pytest.param("dtoverlay=unheard-of,led_gpio=17\n", BUTTON, "GPIO 17", id="unknown-overlay"),
        pytest.param("[pi5]\ndtoverlay=gpio-ir,gpio_pin=17\n", BUTTON, r"\[pi5\]", id="for-some"),
        pytest.param("gpio=17=op,dh\n", BUTTON, "GPIO 17", id="pin-as-output"),
        pytest.param("gpio=4,16-20=op\n", BUTTON, "GPIO 17", id="range-of-pins"),
        pytest.param(
            "dtoverlay=gpio-shutdown,gpio_pin=17,active_low=0\n",
            BUTTON,
            "GPIO 17",
            id="other-level",
        ),
        pytest.param(f"[pi4]\n{BUTTON}\n", BUTTON, "some boards only", id="for-some-boards-only"),
        pytest.param(
            "enable_uart=1\n",
            "dtoverlay=gpio-shutdown,gpio_pin=15",
            "GPIO 15",
            id="uart-has-the-pin",
        ),
        pytest.param(
            "dtparam=i2c_arm=on\n", "dtoverlay=gpio-shutdown,gpio_pin=3", "GPIO 3", id="i2c-has-it"
        ),
        pytest.param(
            "dtoverlay=gpio-shutdown\n", "dtoverlay=i2c-rtc,ds3231", "GPIO 3", id="button-on-i2c"
        ),
        pytest.param("a", "no setting", "is not a line", id="wanted-line-is-none"),
    ],
)
def test_a_file_that_contradicts_is_refused(
    config_txt: ModuleType, boot_file: ModuleType, content: str, line: str, where: str
) -> None:
    with pytest.raises(boot_file.BootFileError, match=where):
        edit(config_txt, content, line)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("dtoverlay=gpio-ir,gpio_pin=18\n", id="another-pin"),
        pytest.param("dtoverlay=gpio-ir,gpio_pin=18\ndtoverlay=\ndtparam=x=17\n", id="no-pin"),
        pytest.param("[none]\ndtoverlay=gpio-ir,gpio_pin=17\n[all]\n", id="for-no-board"),
        pytest.param("#dtoverlay=gpio-ir,gpio_pin=17\n", id="commented-out"),
        pytest.param("gpio=17=ip,pu\n", id="pin-as-input"),
        pytest.param("dtoverlay=rotary-encoder,pin_b=22\n", id="default-not-taken"),
        pytest.param("dtoverlay=gpio-shutdown\n", id="a-second-button"),
        pytest.param("dtoverlay=vc4-kms-v3d\nmax_framebuffers=2\n", id="vendor"),
        pytest.param("enable_uart=1\n", id="uart"),
        pytest.param("dtparam=i2c_arm=on,spi=on,i2s=on\n", id="buses"),
    ],
)
def test_what_does_not_meet_on_a_pin_does_not_contradict(
    config_txt: ModuleType, content: str
) -> None:
    assert edit(config_txt, content, BUTTON) == content + OWN_BUTTON


def test_uart_overlays_do_not_contradict_the_uart(config_txt: ModuleType) -> None:
    content = "dtoverlay=disable-bt\ndtoverlay=uart0,txd0_pin=14\n"
    assert edit(config_txt, content, UART) == content + OWN_UART


def test_an_i2c_bus_that_is_on_suits_a_clock_on_it(config_txt: ModuleType) -> None:
    rtc = "dtoverlay=i2c-rtc,ds3231"
    assert edit(config_txt, "dtparam=i2c_arm=on\n", rtc).endswith(f"{rtc}\n")


def test_a_second_clock_contradicts_where_there_can_be_one_only(
    config_txt: ModuleType, boot_file: ModuleType
) -> None:
    with pytest.raises(boot_file.BootFileError, match="pcf8563"):
        edit(config_txt, "dtoverlay=i2c-rtc,pcf8563\n", "dtoverlay=i2c-rtc,ds3231", exclusive=True)


def test_the_message_names_the_file_the_line_and_every_way_out(
    config_txt: ModuleType, boot_file: ModuleType
) -> None:
    with pytest.raises(boot_file.BootFileError) as refused:
        edit(
            config_txt,
            "include usercfg.txt\n",
            BUTTON,
            {"usercfg.txt": "# fan\ndtoverlay=gpio-fan,gpiopin=17\ngpio=17=op\n"},
            remedy="choose another pin",
        )
    assert str(refused.value) == (
        'usercfg.txt line 2 says "dtoverlay=gpio-fan,gpiopin=17", which uses GPIO 17; the role me '
        f'needs it for "{BUTTON}": delete that line, or choose another pin. (1 more like that.)'
    )


def test_lines_are_numbered_as_in_the_file_also_below_our_own(
    config_txt: ModuleType, boot_file: ModuleType
) -> None:
    with pytest.raises(boot_file.BootFileError, match="line 4 "):
        edit(config_txt, f"a=1\n{OWN_BUTTON}dtoverlay=gpio-ir,gpio_pin=17\n", BUTTON)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            f"a=1\n{MARKER}\ndtoverlay=gpio-shutdown,gpio_pin=27\nb=2\n",
            f"a=1\n{OWN_BUTTON}b=2\n",
            id="new-pin-in-the-same-place",
        ),
        pytest.param(
            f"[pi4]\n{OWN_BUTTON}a=1\n", f"[pi4]\na=1\n[all]\n{OWN_BUTTON}", id="got-below-a-filter"
        ),
        pytest.param(f"{MARKER}\na=1\n", f"a=1\n{OWN_BUTTON}", id="line-deleted-comment-left"),
        pytest.param(
            f"{OWN_BUTTON}a=1\n{OWN_BUTTON}", f"a=1\n{OWN_BUTTON}", id="pasted-a-second-time"
        ),
        pytest.param(
            f"{OWN_BUTTON}dtparam=gpio_pin=22\n",
            f"dtparam=gpio_pin=22\n{OWN_BUTTON}",
            id="changed-by-a-line-below",
        ),
    ],
)
def test_our_own_line_is_kept_up(config_txt: ModuleType, before: str, after: str) -> None:
    assert edit(config_txt, before, BUTTON) == after
    assert edit(config_txt, after, BUTTON) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(f"a=1\n{OWN_BUTTON}b=2\n", "a=1\nb=2\n", id="ours"),
        pytest.param(f"{BUTTON}\n", f"{BUTTON}\n", id="the-owners"),
        pytest.param(f"{MARKER}\nenable_uart=1\n", "enable_uart=1\n", id="a-strangers-below-ours"),
        pytest.param(f"{MARKER}\r\n{BUTTON}\r\na=1\r\n", "a=1\r\n", id="crlf"),
        pytest.param(f"[pi4]\n[all]\n{OWN_BUTTON}", "[pi4]\n[all]\n", id="all-stays"),
        pytest.param(
            f"{MARKER.replace('role me', 'role you')}\n{BUTTON}\n",
            f"{MARKER.replace('role me', 'role you')}\n{BUTTON}\n",
            id="another-roles",
        ),
        pytest.param("dtoverlay=gpio-ir,gpio_pin=17\n", "dtoverlay=gpio-ir,gpio_pin=17\n", id="no"),
    ],
)
def test_only_our_own_line_is_removed(config_txt: ModuleType, before: str, after: str) -> None:
    assert edit(config_txt, before, BUTTON, present=False) == after


def arguments(boot: Path, **others: object) -> dict[str, object]:
    defaults = {"state": "present", "exclusive": False, "remedy": ""}
    return {"path": str(boot / "config.txt"), "line": UART, "owner": "me"} | defaults | others


def test_a_change_keeps_a_copy_once_and_asks_for_a_reboot(
    config_txt: ModuleType, boot: Path, reboot_flag: Path
) -> None:
    (boot / "config.txt").write_text("a=1\n")
    assert config_txt.run(arguments(boot), check_mode=False)["changed"]
    assert reboot_flag.exists()
    reboot_flag.unlink()
    again = config_txt.run(arguments(boot), check_mode=False)
    assert not again["changed"]
    assert not reboot_flag.exists()
    config_txt.run(arguments(boot, line=BUTTON, owner="you"), check_mode=False)
    assert (boot / "config.txt.before-appliance").read_text() == "a=1\n"
    assert sorted(path.name for path in boot.iterdir()) == [
        "config.txt",
        "config.txt.before-appliance",
    ]


def test_check_mode_shows_the_difference_and_touches_nothing(
    config_txt: ModuleType, boot: Path, reboot_flag: Path
) -> None:
    (boot / "config.txt").write_text("a=1\n")
    result = config_txt.run(arguments(boot), check_mode=True)
    assert result["changed"]
    assert result["diff"]["after"] == f"a=1\n{OWN_UART}"
    assert [path.name for path in boot.iterdir()] == ["config.txt"]
    assert (boot / "config.txt").read_text() == "a=1\n"
    assert not reboot_flag.exists()


def test_a_missing_file_is_made_and_has_no_copy(
    config_txt: ModuleType, boot: Path, reboot_flag: Path
) -> None:
    config_txt.run(arguments(boot), check_mode=False)
    config_txt.run(arguments(boot, line=BUTTON, owner="you"), check_mode=False)
    assert [path.name for path in boot.iterdir()] == ["config.txt"]
    assert reboot_flag.exists()


def test_where_there_is_no_file_nothing_has_to_be_removed(
    config_txt: ModuleType, boot: Path
) -> None:
    arguments_elsewhere = arguments(boot / "nowhere", state="absent")
    assert not config_txt.run(arguments_elsewhere, check_mode=False)["changed"]


def test_a_line_that_the_firmware_would_cut_is_refused(
    config_txt: ModuleType, boot_file: ModuleType, boot: Path
) -> None:
    with pytest.raises(boot_file.BootFileError, match="too long"):
        config_txt.run(arguments(boot, line=f"a={'x' * 97}"), check_mode=False)
