"""Statements about interventions, controls and parts: what makes features change."""

from __future__ import annotations

from .question import Question, difference, of_both


def interventions() -> tuple[Question, ...]:
    """Do signs, sizes and places of the rates matter?"""
    told = {
        "clamp negative": ("Negative rates cause part of the {task}-task effect: without them it "
                           "changes."),
        "absolute": "The signs cause part of the {task}-task effect: with all positive it changes.",
    }  # fmt: skip
    named = {"clamp negative": "Negative rates", "absolute": "The signs of the rates"}
    causes = [
        Question(
            f"I{i}", "interventions", "Meta-SGD", told[change].format(task=task),
            f"accuracy with the rates under {change!r} minus as learned, {task}-task",
            difference(f"{change}, {task}", f"learned, {task}"), "RAISED OR LOWERED",
            f"{named[change]} are a cause of what happens {task}-task.",
            f"{named[change]} cause nothing {task}-task that counts.",
            beyond=difference(f"{change}, {task}", f"random, as far as {change}, {task}"),
        )
        for i, (change, task) in enumerate(
            ((c, t) for c in told for t in ("on", "off")), start=1
        )
    ]  # fmt: skip
    return (
        *causes,
        *of_both(Question(
            "I5", "interventions", "MAML",
            "Going uphill (every rate times −1) raises accuracy on another task.",
            "off-task effect with every rate times −1",
            difference("× -1, off", "init, off"), "RAISED",
            "Moving against the gradient makes features better for other tasks.",
            "Moving against the gradient makes features no better for other tasks.",
        )),
        Question(
            "I6", "interventions", "Meta-SGD",
            "It matters which weight has which rate: dealt anew within each tensor, they serve worse.",
            "accuracy with the rates under 'shuffle' minus as learned, on-task",
            difference("shuffle, on", "learned, on"), "LOWERED",
            "The pattern of the rates is learned content.",
            "The pattern of the rates holds nothing that the task needs.",
        ),
        Question(
            "I7", "interventions", "Meta-SGD",
            "A rate for each weight serves better than one for each tensor.",
            "accuracy with the rates under 'layer mean' minus as learned, on-task",
            difference("layer mean, on", "learned, on"), "LOWERED",
            "Rates of single weights are worth having.",
            "One rate a tensor would do as well, or better.",
        ),
    )  # fmt: skip


def controls() -> tuple[Question, ...]:
    """Does the content of what is learned matter, or movement as such?"""
    asked = (
        ("N1", "random direction", "on", "RAISED",
         "The learned movement serves the task better than a random one of the same length.",
         "What helps is the direction, not movement as such.",
         "A random movement would help as much."),
        ("N2", "random direction", "off", "RAISED",
         "The learned movement leaves another task better off than a random one of the same length.",
         "Other tasks are spared harm that movement as such would do.",
         "The learned movement harms other tasks as much as a random one, or more."),
        ("N3", "shuffled labels", "on", "RAISED",
         "The labels matter: shuffled ones serve the task worse.",
         "Features gain from what the labels say.",
         "Features gain as much from labels that mean nothing."),
        ("N4", "shuffled labels", "off", "NO MATERIAL CHANGE",
         "What happens to another task does not depend on the labels.",
         "Other tasks feel the movement, not what was learned.",
         "Other tasks feel what was learned, not movement alone."),
        ("N5", "third task", "on", "RAISED",
         "Adapting to the task itself serves it better than adapting to a third one.",
         "What is learned is about the task at hand.",
         "Adapting to any task would help as much."),
        ("N6", "third task", "off", "NO MATERIAL CHANGE",
         "To another task it makes no difference which task was adapted to.",
         "Off-task, one task is as good as another.",
         "Off-task, it matters which task was adapted to."),
    )  # fmt: skip
    found: list[Question] = []
    for name, control, task, expected, statement, yes, no in asked:
        found += of_both(Question(
            name, "controls", "MAML", statement,
            f"accuracy as learned minus under {control!r}, {task}-task",
            difference(f"learned, {task}", f"{control}, {task}"),
            expected, yes, no,  # type: ignore[arg-type]
        ))  # fmt: skip
    return tuple(found)


def parts() -> tuple[Question, ...]:
    """Must the whole network move?"""
    return (
        *of_both(Question(
            "P1", "parts", "MAML",
            "With the head still, adaptation serves the features more.",
            "accuracy with the body alone moving minus with everything, on-task",
            difference("body only, head still, on", "learned, on"), "RAISED",
            "The moving head takes something away from the features.",
            "Features gain no more when the head is kept still.",
        )),
        *of_both(Question(
            "P2", "parts", "MAML",
            "The last block and the head do it alone: with blocks 1–3 still, the task gains as much.",
            "accuracy with blocks 1–3 still minus with everything moving, on-task",
            difference("blocks 1–3 still, on", "learned, on"), "NO MATERIAL CHANGE",
            "Only the last block has to move.",
            "Whether blocks 1–3 move makes a difference; above zero the task gains more while they are still.",
        )),
    )  # fmt: skip
