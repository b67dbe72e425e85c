"""Areas and precisions, against scipy's test statistic and against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from fmnist_edge.parity.ranking import average_precision, roc_auc

SCORES = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30)


@given(SCORES)
def test_auc_is_mann_whitney_u_by_the_number_of_pairs(pairs):
    scores, labels = np.array([pair[0] for pair in pairs], float), np.array([pair[1] for pair in pairs])
    found = roc_auc(scores, labels)
    if labels.all() or not labels.any():
        assert found is None
    else:
        u = mannwhitneyu(scores[labels], scores[~labels]).statistic
        assert found == pytest.approx(u / (labels.sum() * (~labels).sum()))


@given(SCORES)
def test_average_precision_is_its_definition(pairs):
    scores, labels = np.array([pair[0] for pair in pairs], float), np.array([pair[1] for pair in pairs])
    if not labels.any():
        assert average_precision(scores, labels) is None
        return
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = scores >= threshold
        now = (chosen & labels).sum() / labels.sum()
        total += (now - recall) * (chosen & labels).sum() / chosen.sum()
        recall = now
    assert average_precision(scores, labels) == pytest.approx(total)


def test_known_values():
    """The example of scikit-learn's documentation of both functions."""
    scores, labels = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert roc_auc(scores, labels) == 0.75
    assert average_precision(scores, labels) == pytest.approx(0.8333333)
