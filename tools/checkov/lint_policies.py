"""parliament over {name: policy} on stdin: prints [[name, issue, title, detail]]. Runs in checkov's environment."""

import json
import sys

import parliament

found = []
for name, policy in json.load(sys.stdin).items():
    for finding in parliament.analyze_policy_string(json.dumps(policy)).findings:
        finding = parliament.enhance_finding(finding)
        found.append([name, finding.issue, finding.title, str(finding.detail)])
json.dump(found, sys.stdout)
