"""The words every study uses, for a reader who knows none of the papers."""

from __future__ import annotations

WORDS: tuple[tuple[str, str], ...] = (
    ("encoder, head", "A network that turns an image into a vector, and the last, linear layer "
     "that turns the vector into a class. The encoder without its head is also called the body."),
    ("task, episode", "A few labelled examples of a few classes (the support, or inner rows) and "
     "further ones to be judged by (the query, or outer rows)."),
    ("adaptation, inner loop", "A few gradient steps on the support, from a common start. Their "
     "number is N or K, their step size the inner rate α."),
    ("meta-training, outer loop", "Choosing that start (and sometimes the rates) so that the query "
     "is answered well after adaptation, over many tasks."),
    ("MAML", "Meta-training that differentiates through the inner loop; FOMAML drops the second "
     "derivatives; ANIL adapts the head alone, BOIL the body alone."),
    ("Meta-SGD", "MAML whose inner rates are learned too, one a weight; they may become negative."),
    ("NAL", "No adaptation in training: a start that is simply good on average over all tasks."),
    ("BMG", "Bootstrapped meta-gradients: rates learned by pulling the adapted network to a target "
     "some steps ahead. LSLR learns them, one a tensor, by the plain meta-gradient."),
    ("curvature", "The second derivative of a loss along a direction. A loss is convex where none "
     "is negative and strongly convex where all exceed some μ > 0; L is the largest, κ = L/μ."),
    ("probe, gallery", "How features are judged: an image takes the class of the nearest of a few "
     "labelled images, the gallery. That is the support itself, or fresh images of its classes."),
    ("RAISED, TRACE+, …", "What an accuracy did, in percentage points: RAISED or LOWERED beyond "
     "chance and by what matters (0.25 points or more), TRACE+ or TRACE− by less, NO MATERIAL "
     "CHANGE where that much is excluded, UNRESOLVED otherwise."),
    ("p, Holm", "The chance of so large a change where there is none; by Holm's rule it is raised "
     "for the number of claims asked together."),
    ("hard, packed, distant", "A task is hard if one adaptation step removes little of its error. "
     "Tasks are packed if they want similar solutions, distant if others want different ones."),
    ("risk, excess risk", "The expected loss on new data, and how far it lies above the best "
     "possible."),
    ("α_t, α_r, σ, ν, V, ξ", "In bernacchia2021: the inner rate in meta-training and on a new task, "
     "the spread of label noise and of the tasks' solutions, the displacement of the learnt start "
     "from the tasks' centre, a factor by which sizes grow. F1 to F9 are its closed forms; judged "
     "rows are the query rows of all training tasks; over-parameterised: fewer of these than "
     "weights."),
    ("standard error, interval", "How far chance moves a measured value; a 95 % interval holds the "
     "true value in 95 of 100 repetitions."),
)  # fmt: skip

RULES = (
    "The papers state no tolerance by which a re-run could be judged, so every rule is ours, and so "
    "are the claims marked derived: they are not in the paper but follow from it, or limit it. Rules "
    "were fixed before these runs; a note says where one was settled after a first result. Those of derived claims often lie around values of an earlier "
    "computation by other code; there SUPPORTED means reproduced. Where a statement was weakened "
    "after a first result it has a row of its own (C3b, C-B9b and the like) beside the claim, which "
    "it does not replace. SUPPORTED: all that the rule asks holds, intervals included. REFUTED: "
    "part of it fails beyond chance. NOT SHOWN: neither."
)

STUDIES_HEAD = """# Studies: what papers claim, run again

*Made by `make studies`; do not edit.*

Each study asks what one paper says of adaptation, states its claims so that they can fail, runs
them again and gives a verdict: SUPPORTED, REFUTED or NOT SHOWN. A published value says how it is
known: read in the paper, digitised from a figure, from a secondary source, derived, or not
obtainable. `metaprobe study NAME` runs one, `--quick` with fewer repeats under the same rules;
`metaprobe study --all --out DIR` makes one page of all.

Beside its numbers a study writes `section.html`, with style and figures inside, for any page of
yours; `metaprobe audit … --study DIR --out report` puts it into the audit's report. There it is made
again from `study.json` and the figures, which may be a stranger's: their words are escaped and
their pictures checked, and `section.html` is not trusted.

More of the trained encoders that `starshak2022` measures is in [results](results.md).

{rules}

<details><summary>Words used</summary>

{words}

</details>

| study | question | supported | refuted | not shown |
|---|---|---|---|---|
"""

OWN = """## On your own encoders

`starshak2022` is measured on your checkpoints and data where you name them:

```sh
metaprobe study starshak2022 --data mini-imagenet:DIR --checkpoints RUNS --out study
metaprobe study starshak2022 --data DIR --checkpoints maml=a.pth --checkpoints meta-sgd=b.pth
```

`RUNS` is a folder of training runs, as many of MAML as of Meta-SGD; `--checkpoints` also takes
files, and may be repeated. A checkpoint of `metaprobe train` says which learner made it; in a file
from elsewhere learned rates say Meta-SGD and nothing says MAML, so write `maml=FILE`. Runs with the
same seeds are paired by seed, others in the order given. With fewer than five runs of each learner
every verdict is NOT SHOWN, since a method cannot be judged by its checkpoints; the measured values
and, for a single run, intervals over classes and episodes stand there all the same. A claim about
something the files lack is "not measured", with the reason. `--quick` takes fewer episodes and all
of your runs.
"""
