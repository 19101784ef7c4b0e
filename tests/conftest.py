"""For all tests: boto3 parses each service's model once a process, where each of some thousand sessions did so anew."""

import functools

import botocore.session

botocore.session.create_loader = functools.cache(botocore.session.create_loader)
