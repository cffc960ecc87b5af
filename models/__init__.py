"""What measures: backbones, inner-loop rules, adaptation, meta-training, checkpoints."""
