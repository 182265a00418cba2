"""What a few draws say of a share: the exact bound of a binomial (Clopper and Pearson, Biometrika 1934)."""

from __future__ import annotations


def upper_bound(wrong: float, given: float, confidence: float) -> float:
    """The largest risk that `wrong` of `given` do not contradict, by Clopper and Pearson; 1 where nothing was given.

    >>> round(upper_bound(0, 29, 0.95), 3), round(upper_bound(1, 46, 0.95), 3)
    (0.098, 0.099)
    """
    if wrong >= given:
        return 1.0
    from scipy.special import betaincinv

    return float(betaincinv(wrong + 1, given - wrong, confidence))
