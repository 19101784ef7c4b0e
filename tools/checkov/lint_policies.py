"""Runs parliament on {name: policy} from stdin and prints [[name, issue, title, detail]]. It needs the environment of
checkov."""

import json
import sys

import parliament

found = []
for name, policy in json.load(sys.stdin).items():
    for finding in parliament.analyze_policy_string(json.dumps(policy)).findings:
        finding = parliament.enhance_finding(finding)
        found.append([name, finding.issue, finding.title, str(finding.detail)])
json.dump(found, sys.stdout)
