import pytest

from runbookd.drill.checkout.health import ERROR_RATIO, P95, REQUESTS, healthy, samples


def metrics(requests=100, p95=0.03, errors=0.0):
    return f"# HELP x y\n{REQUESTS} {requests}\n{P95} {p95}\n{ERROR_RATIO} {errors}\nup 1\n"


def test_enough_quick_answers_without_errors_are_healthy():
    assert healthy(metrics())


@pytest.mark.parametrize(
    "wrong", [{"requests": 19}, {"p95": 0.2}, {"errors": 0.01}, {"p95": "NaN"}, {"errors": "NaN"}]
)
def test_each_part_of_the_criterion_alone_makes_it_unhealthy(wrong):
    assert not healthy(metrics(**wrong))


@pytest.mark.parametrize("text", ["", "up 1\n", metrics() + "rubbish here and there\n"])
def test_metrics_that_cannot_be_read_are_no_proof_of_health(text):
    assert not healthy(text)


def test_samples_are_named_as_they_are_written():
    assert samples('a{b="c",d="e"} 1.5\nf 2\n') == {'a{b="c",d="e"}': 1.5, "f": 2.0}
