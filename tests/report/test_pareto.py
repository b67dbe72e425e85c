"""The front is exactly what nothing beats, and axes have their values inside."""

from hypothesis import given
from hypothesis import strategies as st

from fmnist_edge.report.axes import LEAST, linear, logarithmic
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


VALUES = st.lists(st.floats(0, 1e12), min_size=1, max_size=20)


@given(VALUES)
def test_a_logarithmic_axis_holds_its_values_in_order(values):
    axis = logarithmic(values, 10, 110)
    places = [axis(value) for value in sorted(values)]
    assert all(10 <= place <= 110 for place in places) and places == sorted(places)
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert 2 <= len(axis.ticks) <= 16


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_a_linear_axis_does_too_and_may_run_downwards(values):
    axis = linear(values, 110, 10, least=0.5)
    places = [axis(value) for value in sorted(values)]
    assert all(10 <= place <= 110 for place in places) and places == sorted(places, reverse=True)
    assert 2 <= len(axis.ticks) <= 7 and axis.high - axis.low >= 0.5 - 1e-9


def test_values_too_small_for_a_logarithm_are_drawn_at_the_least():
    assert logarithmic([0, 5], 7, 9)(0) == logarithmic([LEAST, 5], 7, 9)(LEAST) == 7
