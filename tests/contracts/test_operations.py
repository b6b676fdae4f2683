"""An operation that was added by halves is refused, and the refusal names what is missing where."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts import operations, proofs
from contracts.operations import OPERATIONS, TABLE, Lane, Operation

ROOT = Path(operations.__file__).parents[1]

Edit = tuple[str, str, str]
"""File, what stands there once, and what takes its place."""

REQUEST: tuple[Edit, ...] = (
    (
        "contracts/requests.py",
        "\n\nRequest = Annotated[",
        """

class CountKeysRequest(RequestBase):
    operation: Literal["count_keys"] = "count_keys"


Request = Annotated[""",
    ),
    (
        "contracts/requests.py",
        "    | QueryApiKeysRequest,",
        "    | QueryApiKeysRequest | CountKeysRequest,",
    ),
)
RESULT: tuple[Edit, ...] = (
    (
        "contracts/results.py",
        "\n\nResult = Annotated[",
        """

class CountKeysResult(ResultBase):
    result: Literal["count_keys"] = "count_keys"
    count: int = 0


Result = Annotated[""",
    ),
    (
        "contracts/results.py",
        "    | QueryApiKeysResult,",
        "    | QueryApiKeysResult | CountKeysResult,",
    ),
)
COLUMNS = {
    "request": "requests.CountKeysRequest",
    "result": "results.CountKeysResult",
    "word": '"query"',
    "lane": "Lane.CONTROL",
    "begins_session": "False",
    "echoes": "()",
    "check": "lambda request, result: checks.same('count', result.count, 1)",
    "proves": "proofs.nothing",
    "for_many": "None",
}
HANDLER: tuple[Edit, ...] = (
    (
        "workers/coordinator/questions.py",
        "        return (\n",
        "        return (\n            Service.of(CountKeysRequest, self._count),\n",
    ),
    (
        "workers/coordinator/questions.py",
        "    async def _keys(",
        """    async def _count(self, signed: SignedRequest, request: CountKeysRequest) -> None:
        found = await self._store.keys(request.owner, after="", limit=1000)
        content = CountKeysResult(**self._answers.head(signed), count=len(found))
        await self._answers.give(request, content)

    async def _keys(""",
    ),
    (
        "workers/coordinator/questions.py",
        "from contracts.requests import QueryKeysRequest,",
        "from contracts.requests import CountKeysRequest, QueryKeysRequest,",
    ),
    (
        "workers/coordinator/questions.py",
        "from contracts.results import (",
        "from contracts.results import (\n    CountKeysResult,",
    ),
)


def row(**changes: str | None) -> Edit:
    """With other columns, or without those that are None."""
    columns = {name: text for name, text in {**COLUMNS, **changes}.items() if text is not None}
    lines = "".join(f"        {name}={text},\n" for name, text in columns.items())
    end = ")\n\n\ndef _by_name("
    return "contracts/operations.py", end, f"    Operation(\n{lines}    ),\n{end}"


class Tree:
    """A copy of what a coordinator is made of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("contracts", "workers"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )

    def edit(self, edits: Iterable[Edit]) -> None:
        for name, old, new in edits:
            text = (self.folder / name).read_text()
            assert text.count(old) == 1, (name, old)
            (self.folder / name).write_text(text.replace(old, new))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )


START = """
from workers.coordinator.wiring import Coordinator
from workers.pool_limits import PoolLimits
from workers.settings import CoordinatorLimits

Coordinator.over(
    None,
    None,
    identities=(),
    parties={},
    clients=(),
    limits=CoordinatorLimits(),
    pool_limits=PoolLimits(),
)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(
    ("edits", "missing"),
    [
        pytest.param(
            REQUEST,
            "contracts.requests.CountKeysRequest has 0 rows in contracts.operations.TABLE",
            id="a request without a row",
        ),
        pytest.param(
            (*REQUEST, row(result="results.QueryKeysResult")),
            "contracts.results.QueryKeysResult has 2 rows",
            id="a row without a result of its own",
        ),
        pytest.param(
            (*REQUEST, *RESULT, row(check=None)),
            "missing 1 required keyword-only argument: 'check'",
            id="a row that does not say which result answers the request",
        ),
        pytest.param(
            (*REQUEST, *RESULT, row(proves=None)),
            "missing 1 required keyword-only argument: 'proves'",
            id="a row that does not say what is proven",
        ),
    ],
)
def test_a_row_that_is_missing_or_lacks_something_is_an_error_at_import(
    tree: Tree, edits: tuple[Edit, ...], missing: str
) -> None:
    tree.edit(edits)
    done = tree.run("-c", "import contracts.client")
    assert done.returncode == 1
    assert "contracts/operations.py" in done.stderr
    assert missing in done.stderr


@pytest.mark.long
def test_a_coordinator_starts_with_a_handler_for_every_operation_only(tree: Tree) -> None:
    tree.edit((*REQUEST, *RESULT, row()))
    done = tree.run("-c", START)
    assert done.returncode == 1
    assert "UnservedError: operation 'count_keys': 0 desks of workers/coordinator have" in (
        done.stderr
    )
    tree.edit(HANDLER)
    whole = tree.run("-c", START)
    assert whole.returncode == 0, whole.stderr


@pytest.mark.long
def test_the_check_of_another_operation_is_no_check(tree: Tree) -> None:
    tree.edit((*REQUEST, *RESULT, row(check="checks.listed_keys", proves="proofs.listed_keys")))
    (tree.folder / "mypy.ini").write_text(
        "[mypy]\nstrict = true\nplugins = pydantic.mypy\nignore_missing_imports = true\n"
    )
    done = tree.run("-m", "mypy", "contracts/operations.py")
    assert done.returncode == 1, done.stdout + done.stderr
    for column in ("check", "proves"):
        assert re.search(
            rf"contracts/operations\.py:\d+: error: .*{column}.*incompatible", done.stdout
        ), done.stdout


def test_rows_that_do_not_hold_together_are_refused() -> None:
    rows: tuple[Operation[Any, Any], ...] = TABLE
    keygen, reshare, sign, *rest = rows
    others = (reshare, *rest)
    for spoilt, reason in (
        ((keygen, reshare, sign), r"contracts\.requests\.CancelRequest has 0 rows"),
        ((*rows, keygen), r"contracts\.requests\.KeygenRequest has 2 rows"),
        (
            (
                replace(keygen, result=sign.result),
                replace(sign, result=keygen.result),
                *others,
            ),
            "keygen: SignResult is the result of another operation",
        ),
        (
            (replace(keygen, echoes=("key_id", "target")), sign, *others),
            "keygen: 'target' is not a field of both KeygenRequest and KeygenResult",
        ),
        (
            (replace(keygen, echoes=()), sign, *others),
            r"keygen: a failure has no KeygenResult\.key_id",
        ),
        (
            (replace(keygen, right_of="count_keys"), sign, *others),
            "keygen: there is no other operation 'count_keys' whose right it could take",
        ),
        (
            (replace(keygen, right_of="keygen"), sign, *others),
            "keygen: there is no other operation 'keygen' whose right it could take",
        ),
    ):
        with pytest.raises(TypeError, match=reason):
            operations._by_name(spoilt)


def test_sessions_have_lanes_of_their_own() -> None:
    """What is answered at once does not stand behind them, nor they behind each other."""
    beginning = {row.name: row.lane for row in TABLE if row.begins_session}
    assert beginning == {
        "keygen": Lane.KEYGEN,
        "reshare": Lane.KEYGEN,
        "sign": Lane.SIGNING,
    }
    assert {row.lane for row in TABLE if not row.begins_session} == {Lane.CONTROL}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_has_certificates_or_signatures_is_proven_by_them(operation: str) -> None:
    row = OPERATIONS[operation]
    told = json.dumps(row.result.model_json_schema())
    provable = '"certificates"' in told or '"signature"' in told
    assert provable == (row.proves is not proofs.nothing)


def test_no_two_operations_are_answered_by_the_same_check() -> None:
    assert len({row.check for row in OPERATIONS.values()}) == len(TABLE)
