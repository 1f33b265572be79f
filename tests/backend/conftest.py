"""Settings of the backend's tests."""

from hypothesis import HealthCheck, settings

# A busy machine may take its time: no test is judged by the clock.
settings.register_profile("no_clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no_clock")
