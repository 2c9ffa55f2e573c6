"""The report of a run: one self-contained HTML page, and the same figures as CSV and JSON; several runs compared."""

from python_server.report.compare import Comparison, write_comparison
from python_server.report.figures import RunFigures, gather
from python_server.report.page import render
from python_server.report.summary import Summary
from python_server.report.tables import table_2, table_3
from python_server.report.write import write_report

__all__ = [
    "Comparison",
    "RunFigures",
    "Summary",
    "gather",
    "render",
    "table_2",
    "table_3",
    "write_comparison",
    "write_report",
]
