"""The simulation of a fleet: what it counts, and what the program promises of it."""

from bench.splay import INTERVAL, RECOVERY_PEAK, REST_PEAK, phases, simulate

OUTAGE = (90.0, 690.0)


def test_a_fleet_is_spread_in_rest_and_comes_back_from_an_outage_without_a_stampede() -> None:
    agents = 1500
    requests = simulate(agents, 500, OUTAGE, 1100.0, seed=7)
    start, rest, outage, after = phases(requests, OUTAGE)
    mean = agents / INTERVAL
    assert start.requests[0] == agents  # the first tick of each is at once
    assert sum(rest.requests) == mean * len(rest.requests)  # and nobody is left out
    assert rest.peak() <= 1.4 * mean  # with so few agents chance has more weight than in REST_PEAK
    assert REST_PEAK < RECOVERY_PEAK
    assert 0 < outage.requests[-1] < mean
    assert after.peak() <= 1.1 * RECOVERY_PEAK * mean
    assert sum(after.requests[-150:]) == mean * 150  # the backlog is gone
