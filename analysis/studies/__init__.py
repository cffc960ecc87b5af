"""One paper, one study: its claims, re-run."""
