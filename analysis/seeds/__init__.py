"""What the sections of an audit say over training runs: a statement, a rule, a verdict.

One encoder cannot speak for the method that made it. Here the sections' questions are put to
every shipped run at once, on the same episodes; each is a statement that was written down before
it was measured, with the rule that decides it.

Read in this order: `question` (what a statement is), `questions` (all of them), `evidence` (what is measured on one encoder),
`reduction` (estimates and verdicts over runs), `run` (every shipped checkpoint), `page`.
"""
