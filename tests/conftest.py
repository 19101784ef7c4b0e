"""For all tests: boto3 parses each service's model once a process instead of once in each of a thousand sessions."""

import functools

import botocore.session

botocore.session.create_loader = functools.cache(botocore.session.create_loader)
