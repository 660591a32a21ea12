"""The edits: each field in three ways, a sample that can be made again, and what an edited object is."""

import pytest

from chaos.campaign.edits import FIELDS, Edit, Field, Kind, Way, edited, every, sample
from chaos.errors import OrdealError

COLOR = Field(Kind.CONFIG_MAP, ("data", "color"), "red", 7)
OWNER = Field(Kind.POD, ("metadata", "ownerReferences", 0, "uid"), "other", 7)
BLUE = {"data": {"color": "blue"}}


def test_there_are_hundreds_over_many_kinds_and_none_twice() -> None:
    names = [each.name for each in every()]
    assert len(names) == len(set(names)) == 3 * len(FIELDS)
    assert len(names) >= 200
    assert {each.field.kind for each in every()} == {*Kind}


def test_a_wrong_value_is_of_the_type_of_no_other_one() -> None:
    for each in FIELDS:
        assert type(each.wrong) is not type(each.odd), each.name
        assert each.wrong != each.odd


def test_a_seed_makes_the_same_sample_again() -> None:
    assert sample(20, 1) == sample(20, 1) != sample(20, 2)
    assert len(sample(20, 1)) == 20
    assert {each.name for each in sample(0, 1)} == {each.name for each in every()}
    assert sample(0, 1) == sample(10_000, 1)


@pytest.mark.parametrize(
    ("way", "after"),
    [(Way.WRONG, {"data": {"color": "red"}}), (Way.MISSING, {"data": {}}), (Way.TYPE, {"data": {"color": 7}})],
)
def test_one_field_is_edited_and_the_object_is_left_alone(way: Way, after: object) -> None:
    assert edited(BLUE, Edit(COLOR, way)) == after
    assert BLUE == {"data": {"color": "blue"}}


def test_what_is_not_there_can_not_be_taken_away() -> None:
    assert edited({"data": {}}, Edit(COLOR, Way.MISSING)) is None


def test_what_a_field_is_in_must_be_there() -> None:
    with pytest.raises(OrdealError, match=r"Pod has no metadata.ownerReferences\[0\].uid"):
        edited({"metadata": {}}, Edit(OWNER, Way.WRONG))
