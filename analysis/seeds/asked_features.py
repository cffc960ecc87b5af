"""Statements about layers, inner steps and distance: what happens to features, and where."""

from __future__ import annotations

from .question import Question, difference, of_both


def layers() -> tuple[Question, ...]:
    """In which layer do features change?"""
    early = ("block1", "block2", "block3")
    kept = {f"adapted {b}, off": 1 / 3 for b in early} | {f"init {b}, off": -1 / 3 for b in early}
    return (
        *of_both(Question(
            "L1", "layers", "MAML",
            "On the task adapted to, the last block gains more than the first.",
            "gain by block4's features minus gain by block1's, on-task",
            {"adapted block4, on": 1, "init block4, on": -1,
             "adapted block1, on": -1, "init block1, on": 1},
            "RAISED",
            "What is learned from a task sits mostly in the last block.",
            "What is learned from a task does not sit mostly in the last block.",
        )),
        *of_both(Question(
            "L2", "layers", "MAML",
            "On another task, blocks 1–3 stay as good as they were: they are reused.",
            "mean change by the features of blocks 1–3, off-task",
            kept, "NO MATERIAL CHANGE",
            "The early blocks serve another task as well after adaptation as before.",
            "The early blocks do not serve another task as before: reuse is not all there is.",
        )),
        *of_both(Question(
            "L3", "layers", "MAML",
            "Features of another task move further in the last block than in the first.",
            "relative change of the features, block4 minus block1",
            difference("relative change block4", "relative change block1"), "RAISED",
            "The deeper the layer, the further adaptation moves its features.",
            "The first block's features move as far as the last one's, or further.",
            unit="share", sesoi=0.01,
        )),
        *of_both(Question(
            "L4", "layers", "MAML",
            "More of the structure is lost in the last block than in the first.",
            "debiased CKA θ→θ_T, block1 minus block4",
            difference("debiased CKA block1", "debiased CKA block4"), "RAISED",
            "Which images lie near which changes more in the last block than in the first.",
            "Which images lie near which does not change more in the last block.",
            unit="number", sesoi=0.01,
        )),
        *of_both(Question(
            "L5", "layers", "MAML",
            "The embedding keeps structure of its own through adaptation, beyond unrelated features.",
            "debiased CKA θ→θ_T of the embedding minus that of rows dealt anew",
            difference("debiased CKA embedding", "debiased CKA embedding, dealt"), "RAISED",
            "Adapted features are still recognisably those from before.",
            "Adapted features have no more to do with those from before than unrelated ones.",
            unit="number", sesoi=0.1,
        )),
    )  # fmt: skip


def steps() -> tuple[Question, ...]:
    """How do they go on beyond the steps of training?"""
    return (
        *of_both(Question(
            "S1", "steps", "MAML",
            "Twenty inner steps, four times those of training, serve the task better than five.",
            "accuracy after 20 steps minus after 5, on-task",
            difference("step 20, on", "step 5, on"), "RAISED",
            "More steps than in training go on helping the task adapted to.",
            "More steps than in training do not help the task adapted to.",
        )),
        *of_both(Question(
            "S2", "steps", "MAML",
            "Twenty inner steps serve another task worse than five.",
            "accuracy after 20 steps minus after 5, off-task",
            difference("step 20, off", "step 5, off"), "LOWERED",
            "More steps cost accuracy on other tasks.",
            "More steps do not cost accuracy on other tasks.",
        )),
        *of_both(Question(
            "S3", "steps", "MAML",
            "The first step gives over half of what five give.",
            "gain of the first step minus half the gain of five, on-task",
            {"step 1, on": 1, "step 5, on": -0.5, "step 0, on": -0.5}, "RAISED",
            "Most of the gain is there after one step.",
            "Most of the gain needs more than one step.",
        )),
    )  # fmt: skip


def distance() -> tuple[Question, ...]:
    """Does harm depend on how far away a task is?"""
    near, far = "same classes, new images", "another dataset"
    return (
        *of_both(Question(
            "D1", "distance", "MAML",
            "The further away the other task, the more adaptation harms it.",
            "slope of the off-task effect over 0.1 of measured distance, all levels",
            {"slope over distance": 1}, "LOWERED",
            "The effect falls with distance; D4 says whether among tasks that share no class.",
            "The effect does not fall with distance.",
        )),
        *of_both(Question(
            "D2", "distance", "MAML",
            "The same classes gain by adaptation though their labelled images are new ones.",
            "off-task effect on T's own classes with new support images",
            difference(f"{near}, adapted", f"{near}, init"), "RAISED",
            "What is learned of a class helps images that adaptation never saw.",
            "What is learned does not help new images of the same classes.",
        )),
        *of_both(Question(
            "D3", "distance", "MAML",
            "Adapting to a task of glyphs harms tasks of digits, another dataset.",
            "off-task effect on digits",
            difference(f"{far}, adapted", f"{far}, init"), "LOWERED",
            "Adaptation costs accuracy on far data.",
            "Adaptation costs no accuracy on far data.",
        )),
        *of_both(Question(
            "D4", "distance", "MAML",
            "Among tasks that share no class too, further ones are harmed more.",
            "the same slope without the levels that share classes (added after a trial of D1 on four "
            "episodes: gains on shared classes alone make that one fall)",
            {"slope over distance, classes apart": 1}, "LOWERED",
            "Harm grows with distance, beyond the loss of shared classes.",
            "Once no class is shared, harm does not grow with distance.",
        )),
    )  # fmt: skip
