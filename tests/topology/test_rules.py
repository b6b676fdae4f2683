from __future__ import annotations

from pathlib import Path

import pytest

from tests.topology.trees import problems, spoiled


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "key: job.*\n",
            "key: job.*\n      - exchange: wrok\n        key: x\n",
            'flow.yaml:12: queue "jobs": bindings: exchange "wrok" is not declared'
            ' (did you mean "work"?)',
        ),
        (
            "        key: job.*\n",
            "",
            'flow.yaml:10: queue "jobs": bindings: key is missing, and work routes by it',
        ),
        (
            "      - exchange: dead\n",
            "      - exchange: dead\n        key: x\n",
            'flow.yaml:19: queue "dead": bindings: key "x" means nothing to a fanout exchange',
        ),
        (
            "type: topic",
            "type: direct",
            'flow.yaml:10: queue "jobs": bindings: key "job.*" has a wildcard, but work is direct',
        ),
        (
            "dead-letter-exchange: dead",
            "dead-letter-exchange: daed",
            'flow.yaml:22: policy "work": definition: dead-letter-exchange: exchange "daed" is not'
            ' declared (did you mean "dead"?)',
        ),
        (
            "      overflow: reject-publish\n",
            "",
            "dead-letter-strategy: at-least-once needs overflow: reject-publish",
        ),
        (
            "      dead-letter-exchange: dead\n",
            "",
            "dead-letter-strategy: at-least-once needs a dead-letter-exchange",
        ),
        (
            "      - jobs\n",
            "",
            "flow.yaml:8: queue jobs has no policy, so nothing bounds its length",
        ),
        (
            "      - dead\n",
            "      - dead\n      - jobs\n",
            'flow.yaml:8: queue jobs has the policies "dead" and "work", but only one applies',
        ),
        (
            "      - jobs\n",
            "      - jobs\n      - jbos\n",
            'flow.yaml:25: policy "work": queues: "jbos" is not declared (did you mean "jobs"?)',
        ),
        (
            "      delivery-limit: 10\n",
            "",
            'queue jobs has the policy "work" without delivery-limit: endless on RabbitMQ 3.10',
        ),
        (
            "      overflow: reject-publish\n      max-length: 100\n",
            "      overflow: reject-publish\n",
            'queue jobs has the policy "work" without max-length or max-length-bytes',
        ),
        (
            "  jobs:\n",
            "  jobs:\n    type: classic\n",
            'queue jobs has the policy "work", whose dead-letter-strategy only a quorum queue',
        ),
        (
            "  dead:\n    bindings:\n",
            "  dead:\n    type: stream\n    bindings:\n",
            'queue dead has the policy "dead", whose delivery-limit means nothing to a stream',
        ),
        (
            "      delivery-limit: 1000\n",
            "      delivery-limit: 1000\n      dead-letter-exchange: dead\n",
            "flow.yaml:17: queue dead gets its own dead letters; RabbitMQ drops such a cycle",
        ),
        (
            "      delivery-limit: 1000\n",
            "      delivery-limit: 1000\n      dead-letter-exchange: work\n",
            "queue jobs gets its own dead letters",
        ),
        (
            "    definition:\n      delivery-limit: 1000\n      max-length: 100\n",
            "    definition: {}\n",
            'policy "dead": definition is empty',
        ),
        (
            "    definition:\n      delivery-limit: 1000\n      max-length: 100\n",
            "",
            'policy "dead": definition is missing',
        ),
    ],
)
def test_a_broken_rule_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    found = problems(tmp_path, spoiled(old, new))
    assert any(expected in problem for problem in found), found


def test_an_alternate_exchange_has_to_be_declared(tmp_path: Path) -> None:
    policy = "  ae:\n    exchanges: [work]\n    definition: {alternate-exchange: nowhere}\n"
    found = problems(tmp_path, spoiled("policies:\n", f"policies:\n{policy}"))
    assert any('alternate-exchange: exchange "nowhere" is not declared' in one for one in found)
