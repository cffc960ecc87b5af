"""The effects as a LaTeX table with booktabs: to be read into a paper as it is.

\\usepackage{booktabs}
\\input{table}
"""

from __future__ import annotations

from .result import AuditSet
from .wording import EFFECT_ROWS, PHASE_ROWS

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def escaped(text: str) -> str:
    """A name as LaTeX prints it, whatever it holds.

    >>> escaped("a_b & 5 %")
    'a\\\\_b \\\\& 5 \\\\%'
    """
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def latex_table(audits: AuditSet) -> str:
    """Accuracies and effects of each checkpoint with their 95 % intervals, in percent."""
    columns = "l" * (2 + len(audits.audits))
    names = " & ".join(escaped(label) for label in audits.labels)
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        f" &  & {names} \\\\",
        "\\midrule",
    ]
    for key, label, formula in PHASE_ROWS:
        shares = [getattr(audit.cells, key) for audit in audits.audits]
        cells = [
            f"${100 * s.value:.1f}$ $[{100 * s.ci_low:.1f}, {100 * s.ci_high:.1f}]$" for s in shares
        ]
        lines.append(_row(label, formula, cells))
    lines.append("\\midrule")
    for key, label, formula in EFFECT_ROWS:
        effects = [getattr(audit.effects, key) for audit in audits.audits]
        cells = [
            f"${100 * e.value:+.2f}$ $[{100 * e.ci_low:+.2f}, {100 * e.ci_high:+.2f}]$"
            f" {e.verdict.replace('−', '$-$')}"
            for e in effects
        ]
        lines.append(_row(label, formula, cells))
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _row(label: str, formula: str, cells: list[str]) -> str:
    maths = {
        "θ_T": "$\\theta_T$", "θ": "$\\theta$", "T′": "$T'$", "−": "$-$",
        "T": "$T$", "on": "on", "off": "off",
    }  # fmt: skip
    words = " ".join(maths.get(word, escaped(word)) for word in formula.split())
    return f"{label} & {words} & {' & '.join(cells)} \\\\"
