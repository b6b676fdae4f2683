"""A plugin beside pytest-xdist: what failed is told at once.

pytest tells it at the end, and a run that is cut short has none. `ops/test` loads it when it runs a
whole tier.
"""

from __future__ import annotations

import pytest


@pytest.hookimpl(trylast=True)  # after pytest's own, which makes the reporter
def pytest_configure(config: pytest.Config) -> None:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:  # in the process that leads, not in those that run the tests
        config.pluginmanager.register(_Failures(terminal))


class _Failures:
    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            reason = report.longreprtext.partition("\nE ")[2].partition("\n")[0].strip()
            self._terminal.write_line(f"\nFAILED {report.nodeid} - {reason[:300]}")
