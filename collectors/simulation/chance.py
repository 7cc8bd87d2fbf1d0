"""The one door to randomness of simulated racks: streams that a seed and a name decide."""

import math
import random

Chance = random.Random


def stream(seed: int, *names: str) -> Chance:
    """Return a stream of its own for a subject: what others draw changes nothing in it."""
    return random.Random("/".join((str(seed), *names)))  # noqa: S311 -- a simulation wants a seed


def poisson(chance: Chance, mean: float) -> int:
    """Return a Poisson count: arrivals of unit exponential gaps before `mean`."""
    count, reached = 0, chance.expovariate(1)
    while reached < mean:
        count += 1
        reached += chance.expovariate(1)
    return count


def lognormal_ms(chance: Chance, median_ms: int, sigma: float) -> int:
    """Return a length of a lognormal law, in ms; the median itself when sigma is 0."""
    return round(median_ms * math.exp(chance.gauss(0, sigma))) if sigma else median_ms
