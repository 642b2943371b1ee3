"""Regions: what is read, what is refused and how."""

import pytest

from arctone.audio.regions import Region, check_within, parse_regions
from arctone.errors import UsageError


def test_regions_come_in_the_order_of_time() -> None:
    assert parse_regions(["6:7.5", "0:.5", "2:6"]) == (Region(0, 0.5), Region(2, 6), Region(6, 7.5))
    assert Region(0.5, 1.25).samples(44_100) == (22_050, 55_125)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["3"], "inpaint must name regions A:B in seconds, such as 2.5:4, got '3'."),
        (["a:b"], "inpaint must name regions A:B in seconds, such as 2.5:4, got 'a:b'."),
        (["1:"], "inpaint must name regions A:B in seconds, such as 2.5:4, got '1:'."),
        (["1:2:3"], "inpaint must name regions A:B in seconds, such as 2.5:4, got '1:2:3'."),
        (["1:nan"], "inpaint must name regions A:B in seconds, such as 2.5:4, got '1:nan'."),
        (["0:inf"], "inpaint must name regions A:B in seconds, such as 2.5:4, got '0:inf'."),
        (["4:2"], "inpaint region A:B must have 0 <= A < B, got '4:2'."),
        (["2:2"], "inpaint region A:B must have 0 <= A < B, got '2:2'."),
        (["-1:2"], "inpaint region A:B must have 0 <= A < B, got '-1:2'."),
        (["1:3", "2:4"], "inpaint must name regions that do not overlap, got 1:3 and 2:4."),
        ([f"{i}:{i + 1}" for i in range(101)], "inpaint must name at most 100 regions, got 101."),
    ],
)
def test_what_is_no_region(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_regions(texts)
    assert (str(caught.value), caught.value.field) == (message, "inpaint")


def test_a_region_must_lie_within_the_sound() -> None:
    check_within(parse_regions(["1:2"]), 2.0, 44_100)
    with pytest.raises(UsageError, match=r"inpaint region 1:2\.1 ends after the sound, which is 2 seconds long"):
        check_within(parse_regions(["1:2.1"]), 2.0, 44_100)
    with pytest.raises(UsageError, match=r"inpaint region 1:1\.00001 is shorter than one sample"):
        check_within(parse_regions(["1:1.00001"]), 2.0, 44_100)
