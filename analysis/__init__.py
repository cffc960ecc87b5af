"""Sets of features: effects and verdicts, rates, figures, reports, studies."""
