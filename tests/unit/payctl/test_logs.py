"""Reading the functions' logs: all pages, within limits, and only our own lines."""

import json
from pathlib import Path
from typing import Any

import pytest

from payctl import dead_letters, logs
from payctl.dead_letters import DeadLetter
from payctl.stack import Stack
from tests.unit.builders import NOON


class Logs:
    """CloudWatch Logs with a page for each list of messages; the last page repeats if `endless`."""

    class exceptions:  # noqa: N801 - as boto3 names it
        class ResourceNotFoundException(Exception):
            """No such group."""

    def __init__(self, *pages: list[str], endless: bool = False) -> None:
        self._pages = pages
        self._endless = endless
        self.asked: list[dict[str, Any]] = []

    def filter_log_events(self, **asked: Any) -> dict[str, Any]:
        if not self._pages:
            raise self.exceptions.ResourceNotFoundException
        self.asked.append(asked)
        place = min(int(asked.get("nextToken", 0)), len(self._pages) - 1)
        last = place == len(self._pages) - 1 and not self._endless
        at = int(NOON.timestamp() * 1000) - place  # later pages with earlier lines, as streams are read in turns
        events = [{"timestamp": at, "message": message} for message in self._pages[place]]
        return {"events": events} | ({} if last else {"nextToken": str(place + 1)})


class OneClient(Stack):
    """A stack whose every client is the same."""

    def __init__(self, client: Any) -> None:
        super().__init__({"environment_suffix": "test"}, Path("outputs.json"))
        object.__setattr__(self, "_client", client)

    def client(self, service: str) -> Any:
        """The one client, for every service."""
        return vars(self)["_client"]


def test_search_reads_all_pages_and_sorts_lines_by_time() -> None:
    client = Logs([json.dumps({"message": "second"})], [], [json.dumps({"message": "first"})])
    found = logs.search(OneClient(client), "charge", "pay_1", NOON, NOON)
    assert [line.values["message"] for line in found.lines] == ["first", "second"]
    assert found.complete
    assert client.asked[0]["logGroupName"] == "/aws/lambda/payment-charge-test"
    assert client.asked[0]["filterPattern"] == '"pay_1"'
    assert client.asked[0]["startTime"] == client.asked[0]["endTime"] == int(NOON.timestamp() * 1000)


def test_search_when_the_log_never_ends_then_gives_up_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_PAGES", 3)
    client = Logs([json.dumps({"message": "x"})], endless=True)
    found = logs.search(OneClient(client), "charge", "pay_1", NOON)
    assert (len(found.lines), found.complete) == (3, False)


def test_search_when_lines_are_not_json_objects_then_leaves_them_out() -> None:
    client = Logs(["START RequestId: pay_1", '"pay_1"', "[ERROR] pay_1", json.dumps({"message": "x"})])
    assert len(logs.search(OneClient(client), "charge", "pay_1", NOON).lines) == 1


def test_search_when_the_function_never_logged_then_finds_nothing() -> None:
    assert logs.search(OneClient(Logs()), "charge", "pay_1", NOON) == logs.Found([])


def test_reasons_when_the_log_was_not_read_to_its_end_then_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "MAX_PAGES", 1)
    line = json.dumps({"message": "not dispatched", "message_id": "m1", "reason": "LookupError: gone"})
    letter = DeadLetter("m1", "pay_1", "2026-11-21T12:00:00.000Z", 1, "", "")
    assert dead_letters.reasons(OneClient(Logs([line], endless=True)), [letter]) == {"m1": "LookupError: gone"}
    assert "some reasons may be missing" in " ".join(capsys.readouterr().err.split())
