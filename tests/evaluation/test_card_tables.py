import pytest

from latentkit.evaluation.card_tables import difference_text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.01, 0.044, "+0.022 [+0.010, +0.044] *"),
        (-0.01, 0.044, "+0.022 [-0.010, +0.044]"),
        (0.0003, 0.044, "+0.0220 [+0.0003, +0.0440] *"),
        (-0.042, -0.00002, "+0.02200 [-0.04200, -0.00002] *"),
        (0.0, 0.044, "+0.022 [+0.000, +0.044]"),
        (-0.0003, 0.044, "+0.022 [-0.000, +0.044]"),
    ],
)
def test_an_interval_that_excludes_0_is_starred(low, high, text):
    assert difference_text({"value": 0.022, "low": low, "high": high}, 3) == text
