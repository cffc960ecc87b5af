"""Meta-learning with negative learning rates, re-run (Bernacchia, ICLR 2021).

The question is the sign of the inner learning rate during meta-training. Read in this order:

    setting      the model and its symbols, and where a formula applies
    moments      the averages that the formulas need, exact
    closed_form  the expected loss, leading and refined form
    rates        the best rates
    simulation   the same without a formula; ``experiment`` draws even the test rows
    spectrum, network   beyond the paper's model
    published, evidence, claims_*, figures, run   the ledger

What is the paper's: the model, the headline (best training rate negative, best test rate
positive), the over-parameterised leading formula (it meets the published curve), figures 2 and
3. Everything else was derived here and is marked so.
"""

from .closed_form import expected_test_loss
from .rates import optimal_rates
from .run import run
from .simulation import simulate_test_loss

__all__ = ["expected_test_loss", "optimal_rates", "run", "simulate_test_loss"]
