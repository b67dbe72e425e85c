"""The front is exactly what nothing beats."""

from hypothesis import given
from hypothesis import strategies as st

from fmnist_edge.report.pareto import dominates, front

COORDINATE = st.integers(0, 6) | st.floats(-1e6, 1e6)
POINTS = st.integers(1, 3).flatmap(lambda size: st.lists(st.tuples(*[COORDINATE] * size), max_size=30))


@given(POINTS)
def test_nothing_beats_a_member_and_a_member_beats_every_other(points):
    members = front(points)
    assert members == sorted(set(members))
    for place, point in enumerate(points):
        better = [other for other in points if dominates(other, point)]
        assert (place in members) == (not better)
        assert not better or any(points[member] in better for member in members)


@given(POINTS, st.randoms())
def test_the_order_of_the_points_does_not_matter(points, random):
    shuffled = random.sample(points, len(points))
    assert sorted(shuffled[place] for place in front(shuffled)) == sorted(points[place] for place in front(points))


@given(POINTS.filter(bool))
def test_adding_what_is_worse_changes_nothing(points):
    worse = tuple(value + 1 for value in points[0])
    assert front([*points, worse]) == front(points)


def test_equal_points_are_on_the_front_together():
    assert front([(1, 2), (1, 2), (1, 3), (0, 9)]) == [0, 1, 3]
    assert front([]) == []
