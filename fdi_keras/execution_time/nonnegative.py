"""Non-negative linear fits of relative error: many small ones at once, and a single careful one.

A leaf predicts ``a @ w`` with ``w >= 0``. A row of ``A`` is ``(1, x_1, ..., x_v) / y``,
so that ``A @ w - 1`` is the relative error of each measurement and its sum of squares
the error that the tree lowers. Choosing a split means fitting both sides of some
hundreds of candidates; for that only ``A.T @ A`` and ``A.T @ 1`` of each side are needed.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

#: Relative errors below this count alike in the robust fit: about what repeated timings differ by.
RESOLUTION = 0.005
_RIDGE = 1e-9
_TOLERANCE = 1e-9


def solve_many(gram: np.ndarray, target: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Non-negative least squares of c small problems given by their normal equations.

    Block principal pivoting (Kim and Park, SIAM J. Sci. Comput. 2011), all problems in
    step. A problem that does not settle within the limit keeps its clipped last point,
    which is feasible but perhaps not the best.

    Args:
        gram: ``(c, p, p)``, ``A.T @ A`` of each problem.
        target: ``(c, p)``, ``A.T @ 1``.
        start: ``(p,)`` bool, the variables expected to be positive; a good guess saves steps.

    Returns:
        ``(c, p)`` weights, all ``>= 0``.

    >>> gram = np.array([[[2.0, 1.0], [1.0, 2.0]]])
    >>> solve_many(gram, np.array([[1.0, -1.0]]), np.array([True, True])).round(6)
    array([[0.5, 0. ]])
    """
    c, p = target.shape
    identity = np.eye(p)
    diagonal = np.einsum("cii->ci", gram)
    usable = diagonal > 0
    scale = np.sqrt(np.where(usable, diagonal, 1.0))
    # Columns of unit length, and a ridge far below the noise: collinear variables stay solvable.
    gram = gram / (scale[:, :, None] * scale[:, None, :]) + _RIDGE * identity
    target = target / scale
    positive = usable & start
    solution = np.zeros((c, p))
    fewest = np.full(c, p + 1)
    patience = np.full(c, 3)
    todo = np.arange(c)
    for _ in range(10 * p):
        mask = positive[todo]
        g, b = gram[todo], target[todo]
        system = np.where(mask[:, :, None] & mask[:, None, :], g, identity)
        x = np.linalg.solve(system, np.where(mask, b, 0.0)[:, :, None])[:, :, 0]
        solution[todo] = x
        slope = np.matmul(g, x[:, :, None])[:, :, 0] - b
        wrong = np.where(mask, x < -_TOLERANCE, (slope < -_TOLERANCE) & usable[todo])
        count = wrong.sum(axis=1)
        left = count > 0
        if not left.any():
            break
        todo, wrong, count = todo[left], wrong[left], count[left]
        better = count < fewest[todo]
        fewest[todo] = np.where(better, count, fewest[todo])
        patience[todo] = np.where(better, 3, patience[todo] - 1)
        # Exchanging all wrong variables may cycle; exchanging only the last one cannot.
        last = np.zeros_like(wrong)
        last[np.arange(len(wrong)), p - 1 - np.argmax(wrong[:, ::-1], axis=1)] = True
        positive[todo] ^= np.where((patience[todo] >= 0)[:, None], wrong, last)
    return np.maximum(solution, 0.0) / scale


def losses(gram: np.ndarray, target: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of squared relative errors of c fits: ``rows - 2 w.b + w.G.w``, shape ``(c,)``."""
    quadratic = np.matmul(gram, weights[:, :, None])[:, :, 0]
    return np.maximum(rows + np.einsum("cp,cp->c", weights, quadratic - 2 * target), 0.0)


def fit_leaf(
    A: np.ndarray, robust_steps: int = 0, prior: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Weights of one leaf, ``(p,)``, from its rows ``A = (1, x) / y`` of shape ``(n, p)``.

    With ``robust_steps`` the exact least squares fit is followed by that many fits
    reweighted towards the mean absolute relative error, which is the number users see.
    ``prior`` are rows ``(k, p)`` and weights ``(p,)`` that the result should not leave
    without need: the rows count as if their times were what these weights predict.
    """
    scale = np.sqrt(np.mean(A**2, axis=0))
    scale[scale == 0] = 1.0
    columns, ones = A / scale, np.ones(len(A))
    more, expected = np.empty((0, A.shape[1])), np.empty(0)
    if prior is not None:
        more, expected = prior[0] / scale, prior[0] @ prior[1]
    weights = _solve(np.concatenate([columns, more]), np.concatenate([ones, expected]))
    for _ in range(robust_steps):
        row_weight = 1.0 / np.sqrt(np.maximum(np.abs(columns @ weights - 1.0), RESOLUTION))
        usual = np.sqrt(np.mean(row_weight**2))
        rows = np.concatenate([columns * row_weight[:, None], more * usual])
        weights = _solve(rows, np.concatenate([row_weight, expected * usual]))
    return np.asarray(weights / scale)


def _solve(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Non-negative least squares, ``(p,)``; nearly collinear columns may keep the exact method from ending."""
    try:
        return np.asarray(nnls(A, b, maxiter=30 * A.shape[1])[0])
    except RuntimeError:
        return solve_many((A.T @ A)[None], (A.T @ b)[None], np.ones(A.shape[1], bool))[0]
