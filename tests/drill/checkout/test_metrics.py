from runbookd.drill.checkout.health import samples
from runbookd.drill.checkout.metrics import Histogram, Measurements


def test_a_histogram_counts_cumulatively_and_ends_at_infinity():
    histogram = Histogram()
    for seconds in (0.005, 0.01, 0.3, 9.0):
        histogram.observe(seconds)
    found = samples("\n".join(histogram.lines("h")))
    assert found['h_bucket{le="0.01"}'] == 2
    assert found['h_bucket{le="0.4"}'] == 3
    assert found['h_bucket{le="+Inf"}'] == found["h_count"] == 4
    assert found["h_sum"] == 9.315


def test_the_window_forgets_what_is_older():
    now = [0.0]
    measured = Measurements(5, lambda: now[0])
    measured.request(503, 0.8)
    now[0] = 4.0
    measured.request(200, 0.02)
    assert measured.recent() == (2, 0.8, 0.5)
    now[0] = 6.0
    assert measured.recent() == (1, 0.02, 0.0)
    now[0] = 60.0
    assert measured.recent() == (0, 0.0, 0.0)


def test_only_server_errors_count_as_errors():
    measured = Measurements(5, lambda: 0.0)
    for code in (200, 201, 404, 500):
        measured.request(code, 0.01)
    assert measured.recent()[2] == 0.25
    assert measured.by_code[404] == 1
