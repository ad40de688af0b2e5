"""The learned execution-time model of Yao et al. (SenSys 2018): fit, predict, rules, time minima.

Reading and predicting needs numpy alone. Names that learn (the regressor) load
scikit-learn and scipy on first use.
"""

from typing import TYPE_CHECKING, Any

from fdi_keras.execution_time.accounts import accounts
from fdi_keras.execution_time.alike import KindRows, Loan, loan_for
from fdi_keras.execution_time.folds import configuration_folds, configuration_groups
from fdi_keras.execution_time.forms import DEFAULT_FORM, FORMS, Form, get_form
from fdi_keras.execution_time.minima import latency_curve, time_minima
from fdi_keras.execution_time.rules import RuleText, describe_rules, rule_text
from fdi_keras.execution_time.time_model import (
    HeldOutError,
    TimeModel,
    fit_time_model,
    held_out_error,
    out_of_fold_predictions,
)
from fdi_keras.execution_time.tree import CompiledTree, Condition, Leaf, LeafRule, Split, Tree
from fdi_keras.execution_time.weight_fetch import WeightFetch, fit_weight_fetch

if TYPE_CHECKING:
    from fdi_keras.execution_time.regressor import ExecutionTimeRegressor

__all__ = [
    "DEFAULT_FORM",
    "FORMS",
    "CompiledTree",
    "Condition",
    "ExecutionTimeRegressor",
    "Form",
    "HeldOutError",
    "KindRows",
    "Leaf",
    "LeafRule",
    "Loan",
    "RuleText",
    "Split",
    "TimeModel",
    "Tree",
    "WeightFetch",
    "accounts",
    "configuration_folds",
    "configuration_groups",
    "describe_rules",
    "fit_time_model",
    "fit_weight_fetch",
    "get_form",
    "held_out_error",
    "latency_curve",
    "loan_for",
    "out_of_fold_predictions",
    "rule_text",
    "time_minima",
]


def __getattr__(name: str) -> Any:
    if name == "ExecutionTimeRegressor":
        from fdi_keras.execution_time.regressor import ExecutionTimeRegressor

        return ExecutionTimeRegressor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
