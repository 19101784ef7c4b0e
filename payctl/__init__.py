"""payctl: the operator's command line, for a stack on AWS or on this machine."""
