"""For all tests: no result depends on the machine's speed, and boto3 parses each service's model once a process instead
of once in each of a thousand sessions."""

import functools

import botocore.session
import hypothesis

hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")
botocore.session.create_loader = functools.cache(botocore.session.create_loader)
