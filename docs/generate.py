"""Everything in docs/ that is made from the code: `python docs/generate.py [cli] [measures] [results] [studies] [cards] [pairs]`.

CI makes ``cli.md`` and the tables of ``how-to-choose.md`` again and compares; ``results.md`` and
``studies.md`` take long and are made by `make results` and `make studies`; what was measured is
kept in the store, so that either goes on where it was cut short.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent

CLI_HEAD = """# Command line

*Made from the command itself by `python docs/generate.py cli`; do not edit.*

Exit status: 0 done, 1 a check failed, 2 bad input or usage or a fault of metaprobe's own (set
`METAPROBE_DEBUG=1` for its traceback), 130 interrupted. With `--json` a verb prints one JSON object
on standard output and nothing else there; progress goes to standard error.
The store lies at `$METAPROBE_CACHE`, else `$XDG_CACHE_HOME/metaprobe`, else `~/.cache/metaprobe`.
"""


def cli_page() -> str:
    """The reference of every verb."""
    from typer.main import get_command

    from metaprobe.cli import app

    os.environ["COLUMNS"] = "100"
    return CLI_HEAD + "".join(_verbs(get_command(app), "metaprobe"))


def _verbs(command: Any, path: str) -> Iterator[str]:
    commands = getattr(command, "commands", None)
    if commands:
        for name, verb in commands.items():
            yield from _verbs(verb, f"{path} {name}")
        return
    context = command.context_class(
        command, info_name=path, max_content_width=100, terminal_width=100
    )
    yield f"\n## {path}\n\n```text\n{command.get_help(context)}\n```\n"


def results_page() -> str:
    """The study on the shipped checkpoints, an audit of each, and the sections over runs."""
    from metaprobe.analysis.audit import AuditSettings, audit
    from metaprobe.analysis.seeds import run
    from metaprobe.analysis.seeds.figures import figures
    from metaprobe.analysis.seeds.results import results_markdown
    from metaprobe.analysis.studies import Settings
    from metaprobe.analysis.studies.starshak2022 import run as study_run
    from metaprobe.analysis.studies.starshak2022.run import EPISODES
    from metaprobe.analysis.studies.writing import save_figures, write_figures
    from metaprobe.cli.options import processors, progress
    from metaprobe.data.store import Store
    from metaprobe.models.checkpoint import shipped

    store, jobs = Store(), processors()
    with progress("blocks") as told:
        study = study_run(Settings(), store=store, jobs=jobs, progress=told)
        every = audit(
            list(shipped()), AuditSettings(episodes=EPISODES), store=store, jobs=jobs, progress=told
        )
        found = run.run(store=store, jobs=jobs, progress=told)
    write_figures(study, DOCS / "results")
    pictures = {f"seeds-{name}": figure for name, figure in figures(found["profiles"]).items()}
    save_figures(pictures, DOCS / "results", salt="seeds")
    SEEDS.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    picture()
    return results_markdown(study, every, found, figures="results/")


SEEDS = DOCS / "results" / "seeds.json"


def studies_page() -> str:
    """The full run of every study; one page."""
    from metaprobe.analysis.studies import STUDIES, Settings, run_study
    from metaprobe.analysis.studies.words import OWN, RULES, STUDIES_HEAD, WORDS
    from metaprobe.analysis.studies.writing import study_markdown, write_figures
    from metaprobe.cli.options import processors, progress
    from metaprobe.data.store import Store

    store, jobs = Store(), processors()
    lines, pages = [], []
    for name in STUDIES:
        with progress("blocks") as told:
            study = run_study(name, Settings(), store=store, jobs=jobs, progress=told)
        write_figures(study, DOCS / "studies")
        said = Counter(claim.verdict for claim in study.claims)
        counts = [str(said[v]) for v in ("SUPPORTED", "REFUTED", "NOT SHOWN")]
        lines.append("| " + " | ".join([f"`{name}`", study.question, *counts]) + " |")
        pages.append(study_markdown(study, figures="studies/"))
    words = "\n".join(f"- **{word}**: {meaning}" for word, meaning in WORDS)
    head = STUDIES_HEAD.format(rules=RULES, words=words)
    return head + "\n".join([*lines, "", OWN, *pages])


MEASURES_FROM, MEASURES_TO = "<!-- measures: from the code -->", "<!-- measures: end -->"

KINDS = {
    "quality": "### Quality: are labelled classes apart?",
    "similarity": "### Similarity: are two encoders alike on the same rows?",
    "geometry": "### Geometry: how many directions are in use?",
}


def choose_page() -> str:
    """How to choose, with a row for every measure from its own declaration."""
    from metaprobe.analysis.measures import MEASURES

    page = (DOCS / "how-to-choose.md").read_text(encoding="utf-8")
    before, rest = page.split(MEASURES_FROM)
    _, after = rest.split(MEASURES_TO)
    parts = [MEASURES_FROM]
    for kind, title in KINDS.items():
        parts.append(f"\n{title}\n\n{measures_table(kind, list(MEASURES.values()))}")
    return before + "\n".join(parts) + "\n" + MEASURES_TO + after


def measures_table(kind: str, measures: list[Any]) -> str:
    """A row for each measure of one kind."""
    up = "more alike" if kind == "similarity" else "better"
    lines = [
        f"| measure | {up} | range | does not see | cost | it misleads when | source |",
        "|---|---|---|---|---|---|---|",
    ]
    for m in measures:
        if m.kind == kind:
            low, high = (
                f"{end:g}".replace("inf", "∞").replace("-", "−") for end in (m.low, m.high)
            )
            cells = [
                f"`{m.name}`: {m.title}", m.direction, f"{low} … {high}", unseen(m),
                m.cost, m.misleads, m.source,
            ]  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def unseen(measure: Any) -> str:
    """The changes a measure is blind to, in the order they are declared."""
    from metaprobe.probes.measure import CHANGES

    either = ", ".join(c for c in CHANGES if c in measure.invariant_to)
    both = ", ".join(c for c in CHANGES if c in measure.shared)
    told = [either or "nothing", f"on both sides alike: {both}" if both else ""]
    return "; ".join(part for part in told if part)


def picture() -> None:
    """The README's picture: the phases of the two checkpoints of the demo."""
    from matplotlib import rc_context

    from metaprobe.analysis.audit import AuditSettings, audit
    from metaprobe.analysis.result import AuditSet
    from metaprobe.cli.options import processors
    from metaprobe.data.store import Store

    names = ["maml-glyphs-s0", "meta-sgd-glyphs-s0"]
    found = audit(names, AuditSettings(), store=Store(), jobs=processors())
    assert isinstance(found, AuditSet)
    (DOCS / "images").mkdir(exist_ok=True)
    metadata = {"Date": None, "Creator": None}
    figure = found.plot("phases")
    with rc_context({"svg.hashsalt": "metaprobe"}):
        figure.savefig(DOCS / "images" / "phases.svg", metadata=metadata)


CARD_EPISODES = 300


def cards_page() -> str:
    """A table of the shipped checkpoints; beside it, a card is written for each."""
    from metaprobe.analysis.audit import AuditSettings, audit
    from metaprobe.cli.options import processors, progress
    from metaprobe.data.store import Store
    from metaprobe.models.checkpoint import read_checkpoint, shipped

    settings = AuditSettings(split="validation", episodes=CARD_EPISODES, query=10)
    with progress("blocks") as told:
        found = audit(list(shipped()), settings, store=Store(), jobs=processors(), progress=told)
    lines = []
    for one in found.audits:
        name, head = one.checkpoint.name, one.head_accuracy.adapted
        checkpoint = read_checkpoint(name)
        meta = checkpoint.metadata
        recipe = f"{name.partition('-glyphs-s')[0]}.toml"
        accuracy = f"{head.value:.3f} [{head.ci_low:.3f}, {head.ci_high:.3f}]"
        facts = {
            "learner": meta["recipe"]["learner"],
            "architecture": one.checkpoint.architecture,
            "task": f"{meta['data']['way']}-way {meta['data']['shot']}-shot",
            "inner loop": f"{one.rule.steps} steps of {one.rule.name} on {one.rule.adapts}, "
            f"rate {meta['rule']['lr']}" + (" at the start" if checkpoint.part("rates") else ""),
            "norm mode": one.rule.norm,
            "recipe": f"[{recipe}](recipes/{recipe}), seed {meta['seed']}",
            "steps": f"{meta['step']} (the best of {meta['recipe']['outer']['steps']} by validation)",
            "validation accuracy": f"{accuracy}: own head after adaptation, {CARD_EPISODES} episodes, "
            "95 % interval for new classes",
            "training data": f"{meta['data']['name']}/{meta['data']['split']}, "
            f"fingerprint `{meta['data']['fingerprint']}`",
            "SHA-256": f"`{checkpoint.sha256}`",
        }
        card = f"# {name}\n\n| | |\n|---|---|\n"
        card += "".join(f"| {key} | {value} |\n" for key, value in facts.items())
        card += f"\nMake it again: `metaprobe train checkpoints/recipes/{recipe} "
        card += f"--seed {meta['seed']}`\n"
        (CHECKPOINTS / f"{name}.md").write_text(card, encoding="utf-8")
        lines.append(
            f"| [{name}]({name}.md) | {facts['learner']} | {meta['seed']} | {meta['step']} | {accuracy} |"
        )
    return CARDS_HEAD + "\n".join(lines) + "\n"


CARDS_HEAD = """# Shipped checkpoints

*Made by `python docs/generate.py cards`; do not edit.*

Small encoders, meta-trained on the training scripts of `glyphs` with the recipes in
[recipes/](recipes/). They travel with the package: `metaprobe audit maml-glyphs-s0`.
Validation scripts (Greek, Hebrew) chose the step; test scripts were never looked at. Ten smaller ones
that one study compares are in [layer_rates/](layer_rates/README.md).

| checkpoint | learner | seed | step | validation accuracy |
|---|---|---|---|---|
"""


def pairs_page() -> str:
    """The card of the encoders that flennerhag2023 compares, in one table."""
    from metaprobe.models.checkpoint import read_checkpoint, shipped

    lines = []
    for name, path in shipped("layer_rates").items():
        checkpoint = read_checkpoint(path)
        meta = checkpoint.metadata
        learner = meta["recipe"]["learner"]
        lines.append(
            f"| [{name}]({path.name}) | [{learner}]({learner}.toml) | {meta['seed']} | {meta['step']} | "
            f"{meta['validation']['accuracy']:.3f} | `{checkpoint.sha256}` |"
        )
    return PAIRS_HEAD + "\n".join(lines) + "\n"


PAIRS_HEAD = """# Pairs of encoders with per-layer inner rates

*Made by `python docs/generate.py pairs`; do not edit.*

What the study `flennerhag2023` measures in its claims O1 and O2: Conv4 with 16 filters on `glyphs`,
5-way 1-shot, five inner steps, one learned rate a tensor. Encoders of one seed share first weights and
tasks; the rates of `lslr` follow the query loss, those of `bmg` a target five steps ahead. 300 updates
each; a file holds the best of six looks at 100 validation episodes (Greek, Hebrew), test scripts were
never looked at. Training data: `glyphs/train`. Make them again: delete the files, `make layer-rates`.

| encoder | recipe | seed | step | validation accuracy | SHA-256 |
|---|---|---|---|---|---|
"""

CHECKPOINTS = DOCS.parent / "checkpoints"

PAGES = {
    "cli": (DOCS / "cli.md", cli_page),
    "measures": (DOCS / "how-to-choose.md", choose_page),
    "results": (DOCS / "results.md", results_page),
    "studies": (DOCS / "studies.md", studies_page),
    "cards": (CHECKPOINTS / "README.md", cards_page),
    "pairs": (CHECKPOINTS / "layer_rates" / "README.md", pairs_page),
}


def main() -> None:
    """Write the pages asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", default=["cli"], help=", ".join(PAGES))
    for name in parser.parse_args().pages:
        path, page = PAGES[name]
        path.write_text(page(), encoding="utf-8")
        print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
