"""The LaTeX table: every number of the audit, and no name that breaks it."""

from __future__ import annotations

import re

from metaprobe.analysis.latex import latex_table
from metaprobe.analysis.result import AuditSet

from .sample_audit import make_audit, make_set


def test_every_effect_stands_in_the_table_with_its_interval_and_verdict() -> None:
    audits = make_set(2, episodes=30)
    text = latex_table(audits)
    for audit in audits.audits:
        for _, e in audit.effects:
            cell = f"${100 * e.value:+.2f}$ $[{100 * e.ci_low:+.2f}, {100 * e.ci_high:+.2f}]$"
            assert f"{cell} {e.verdict.replace('−', '$-$')}" in text
        assert f"${100 * audit.cells.adapted_off.value:.1f}$" in text


def test_every_row_has_as_many_cells_whatever_the_names() -> None:
    names = ("a_b & c", "100 % {of} $x$ \\end{tabular}")
    text = latex_table(AuditSet(audits=tuple(make_audit(n, episodes=20) for n in names)))
    rows = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert len(rows) == 1 + 4 + 3
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {3}
    assert text.count("\\end{tabular}") == 1
    assert all(len(re.findall(r"(?<!\\)\$", row)) % 2 == 0 for row in rows)
    assert {"\\toprule", "\\bottomrule"} <= set(text.splitlines())
    assert all(ord(letter) < 128 for letter in text)
