"""How many examples of a property are tried, and which.

``pytest`` tries the same ones each time, so that the same code passes or fails everywhere.
``pytest --hypothesis-profile=search`` draws four times as many at random, others each time; what fails
is shown with a line that reproduces it, and belongs into the test as an ``@example``.
"""

from hypothesis import HealthCheck, settings

#: What hypothesis tries of a property whose test names no number.
USUAL = 100

# How long an example takes, or is drawn, depends on what else the computer does.
_PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("fixed", max_examples=USUAL, derandomize=True, **_PATIENT)
settings.register_profile("search", max_examples=4 * USUAL, print_blob=True, **_PATIENT)


def examples(count: int, **more) -> settings:
    """Decorator of a property: so many examples, and in a search as many times more as elsewhere."""
    return settings(max_examples=count * settings().max_examples // USUAL, **more)
