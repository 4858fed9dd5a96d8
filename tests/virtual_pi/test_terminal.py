"""What somebody at a terminal of the virtual Pi sees."""

import pytest

from virtual_pi.terminal import shown


@pytest.mark.parametrize(
    ("printed", "seen"),
    [
        ("plain\r", "plain"),
        ("\r\x1b[K 0:01 first task\r\x1b[K 0:02 second\r\x1b[KDone in 3 s\r", "Done in 3 s"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("", ""),
    ],
)
def test_of_a_line_written_over_the_last_is_left(printed: str, seen: str) -> None:
    assert shown(printed) == seen
