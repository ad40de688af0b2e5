"""Part 2: other regressors, each tuned by its own cross-validation, on the same rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from benchmarks.execution_time.settings import MAIN, Rows, Settings, known, predict
from benchmarks.report import Row
from fdi_keras.execution_time.nonnegative import fit_leaf
from fdi_keras.operators import KINDS
from fdi_keras.operators.kinds import EXPLANATORY

#: How much lower than the best of the others.
SHARE = 0.5


def run(settings: Settings) -> list[Row]:
    rows = []
    for kind in MAIN:
        mine = known(settings.tenth, kind)
        # The forest of nn-Meter is given as much as there is.
        test, further = settings.test(kind), settings.fresh(kind)
        off = _mape(predict(settings.tenth, kind, test), test)
        X, tested = KINDS[kind].matrix(mine.dims), KINDS[kind].matrix(test.dims)
        others = {"linear fit": _mape(_linear(X, mine.times, tested), test)}
        for name, search in tuned(settings.seed).items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what does not converge is reported by its error
                search.fit(X, np.log(mine.times), groups=mine.groups)
            others[name] = _mape(np.exp(search.predict(tested)), test)
        more = [mine, further]
        times = np.concatenate([rows.times for rows in more])
        many = np.concatenate([_meter_columns(kind, rows) for rows in more])
        forest = _forest(settings.seed).fit(many, np.log(times))
        others["nn-Meter-like forest"] = _mape(np.exp(forest.predict(_meter_columns(kind, test))), test)
        best = min(others, key=lambda name: others[name])
        listed = ", ".join(f"{name} {error:.1%}" for name, error in others.items())
        rows.append(
            Row(
                "2",
                f"{kind} against others, {len(mine)} measurements, the forest {len(times) / len(mine):.1f} x",
                f"<= {SHARE:g} x {others[best]:.1%} ({best})",
                f"{off:.2%}, {off / others[best]:.2f} x; {listed}",
                bool(off <= SHARE * others[best]),
                {"ours": off, "others": others, "test": len(test), "measurements_of_forest": len(times)},
            )
        )
    return rows


def _mape(predicted: np.ndarray, rows: Rows) -> float:
    return float(np.abs(predicted / rows.times - 1).mean())


def _linear(X: np.ndarray, times: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """One non-negative linear fit of relative error on the explanatory variables."""
    count = len(EXPLANATORY)
    weights = fit_leaf(np.column_stack([np.ones(len(X)), X[:, -count:]]) / times[:, None])
    return np.column_stack([np.ones(len(tested)), tested[:, -count:]]) @ weights


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(300, random_state=seed, n_jobs=2)


def tuned(seed: int) -> dict[str, Any]:
    """Searches over usual settings, on logarithms of columns and times, folds by group."""
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.model_selection import GridSearchCV, GroupKFold
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from sklearn.svm import SVR

    boosting = GradientBoostingRegressor(learning_rate=0.05, subsample=0.7, random_state=seed)
    candidates: dict[str, tuple[Any, dict[str, list[Any]]]] = {
        "random forest": (_forest(seed), {"max_features": [0.4, 0.7, 1.0]}),
        "SVR": (SVR(epsilon=0.01), {"C": [10, 100, 1000], "gamma": ["scale", 0.02]}),
        "gradient boosting": (boosting, {"n_estimators": [600, 1500], "max_depth": [3, 5]}),
        "MLP": (
            MLPRegressor(hidden_layer_sizes=(128, 128), max_iter=500, random_state=seed),
            {"alpha": [1e-4, 1e-2], "learning_rate_init": [1e-3, 3e-3]},
        ),
    }
    searches = {}
    for name, (regressor, grid) in candidates.items():
        pipeline = make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), regressor)
        step = pipeline.steps[-1][0]
        searches[name] = GridSearchCV(
            pipeline,
            {f"{step}__{parameter}": values for parameter, values in grid.items()},
            scoring="neg_mean_absolute_error",
            cv=GroupKFold(3),
        )
    return searches


def _meter_columns(kind: str, rows: Rows) -> np.ndarray:
    """What nn-Meter's forests see: pixels, channels, kernel, stride, FLOPs and parameters."""
    explained = KINDS[kind].explain(rows.dims)
    sides = [rows.dims[d] for d in ("height", "width", "rows", "steps") if d in rows.dims]
    pixels = np.prod(np.stack(sides), axis=0) if sides else np.ones(len(rows))
    dims = [rows.dims[d] for d in (*KINDS[kind].channels, "kernel", "stride") if d in rows.dims]
    flops, parameters = (explained[:, EXPLANATORY.index(name)] for name in ("flops", "parameters"))
    return np.column_stack([pixels, *dims, flops, parameters])
