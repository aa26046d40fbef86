"""Return, volatility, ratios, tail losses and turnover of one equity curve."""

from __future__ import annotations

import numpy as np

from engine.arrays import FloatArray
from engine.compiled import compiled
from engine.errors import InputError

# A return is a ratio near 1 less 1, so it carries a few units of 2.2e-16 of rounding. A deviation this small
# is rounding, and a ratio over it would be an arbitrary number near 1e14 instead of undefined.
ROUNDING = 1e-15


@compiled
def simple_returns(equity: FloatArray) -> FloatArray:
    """Return the simple return of each session over the one before.

    Parameters
    ----------
    equity : (T,) account value in account currency, oldest first, all > 0.

    Returns
    -------
    (T - 1,) fractions, ``equity[t + 1] / equity[t] - 1``; empty when T < 2. NaN after an equity that is not
    positive, and on both sides of a NaN.
    """
    returns = np.empty(max(len(equity) - 1, 0))
    for t in range(len(returns)):
        if equity[t] > 0.0:
            returns[t] = equity[t + 1] / equity[t] - 1.0
        else:
            returns[t] = np.nan
    return returns


@compiled
def total_return(equity: FloatArray) -> float:
    """Return the gain from the first to the last equity.

    Parameters
    ----------
    equity : (T,) account value in account currency, oldest first, all > 0.

    Returns
    -------
    Fraction, 0.1 for a gain of a tenth; NaN when T < 2, or when the first equity is not positive.
    """
    if len(equity) < 2 or not equity[0] > 0.0:
        return np.nan
    return float(equity[-1] / equity[0] - 1.0)


@compiled
def annual_return(equity: FloatArray, periods_per_year: float) -> float:
    """Return the constant yearly growth that leads from the first equity to the last.

    Parameters
    ----------
    equity : (T,) account value in account currency, oldest first, all > 0.
    periods_per_year : sessions in a year, such as 252; > 0.

    Returns
    -------
    Fraction a year; NaN when T < 2, or when the first equity is not positive or the last is negative.

    Notes
    -----
    ``(1 + total_return) ** (periods_per_year / n) - 1`` over the ``n = T - 1`` returns, as
    ``empyrical.annual_return``.
    """
    if len(equity) < 2 or not equity[0] > 0.0:
        return np.nan
    growth = equity[-1] / equity[0]
    if not growth >= 0.0:
        return np.nan
    return float(growth ** (periods_per_year / (len(equity) - 1)) - 1.0)


@compiled
def volatility(returns: FloatArray) -> float:
    """Return the standard deviation of the returns of a session, not annualised.

    Parameters
    ----------
    returns : (n,) simple returns.

    Returns
    -------
    Fraction per session, >= 0, with ``ddof=1``; exactly 0.0 when all returns are equal; NaN when n < 2 or a
    return is NaN.
    """
    n = len(returns)
    if n < 2:
        return np.nan
    total = 0.0
    equal = True
    for value in returns:
        total += value
        equal = equal and value == returns[0]
    # The mean of equal numbers may differ from them in the last bit, and the deviation would not be zero.
    if equal:
        return 0.0
    mean = total / n
    squares = 0.0
    for value in returns:
        squares += (value - mean) * (value - mean)
    return float(np.sqrt(squares / (n - 1)))


@compiled
def annual_volatility(returns: FloatArray, periods_per_year: float) -> float:
    """Return the yearly standard deviation of the returns.

    Parameters
    ----------
    returns : (n,) simple returns.
    periods_per_year : sessions in a year, such as 252; > 0.

    Returns
    -------
    Fraction, >= 0: ``volatility(returns) * sqrt(periods_per_year)``, as ``empyrical.annual_volatility``; NaN
    when n < 2 or a return is NaN.
    """
    return float(volatility(returns) * np.sqrt(periods_per_year))


@compiled
def sharpe_ratio(returns: FloatArray, risk_free: float, periods_per_year: float) -> float:
    """Return the mean excess return over its standard deviation, annualised.

    Parameters
    ----------
    returns : (n,) simple returns.
    risk_free : risk-free return of one session, a fraction.
    periods_per_year : sessions in a year, such as 252; > 0.

    Returns
    -------
    Ratio with the sign of the mean excess return; NaN when n < 2, a return is NaN, or the deviation is zero
    (at most 1e-15, which is rounding).

    Notes
    -----
    Sharpe (1994), "The Sharpe Ratio", Journal of Portfolio Management 21(1), equations 3 to 6 with the
    constant benchmark ``risk_free``, times ``sqrt(periods_per_year)``; as ``empyrical.sharpe_ratio``.
    """
    deviation = volatility(returns)
    if not deviation > ROUNDING:
        return np.nan
    total = 0.0
    for value in returns:
        total += value - risk_free
    return float(total / len(returns) / deviation * np.sqrt(periods_per_year))


@compiled
def sortino_ratio(returns: FloatArray, risk_free: float, periods_per_year: float) -> float:
    """Return the mean excess return over its downside deviation, annualised.

    Parameters
    ----------
    returns : (n,) simple returns.
    risk_free : risk-free return of one session, a fraction; it is the target as well.
    periods_per_year : sessions in a year, such as 252; > 0.

    Returns
    -------
    Ratio with the sign of the mean excess return r; NaN when n < 2, a return is NaN, or no r is below zero (a
    downside deviation of at most 1e-15 is rounding).

    Notes
    -----
    ``mean(r) / sqrt(mean(min(r, 0) ** 2)) * sqrt(periods_per_year)``, the mean being over all n returns, as
    ``empyrical.sortino_ratio`` (after Sortino and Price 1994, Journal of Investing 3(3)), which is infinite
    where this one is NaN.
    """
    n = len(returns)
    if n < 2:
        return np.nan
    total = 0.0
    squares = 0.0
    for value in returns:
        excess = value - risk_free
        total += excess
        if excess < 0.0:
            squares += excess * excess
    downside = np.sqrt(squares / n)
    if not downside > ROUNDING:
        return np.nan
    return float(total / n / downside * np.sqrt(periods_per_year))


@compiled
def _smallest(values: FloatArray, count: int) -> FloatArray:
    # The smallest values in order, by insertion: tails are short, and numba takes seconds to compile np.partition.
    found = np.full(count, np.inf)
    for value in values:
        if value < found[count - 1]:
            k = count - 1
            while k > 0 and found[k - 1] > value:
                found[k] = found[k - 1]
                k -= 1
            found[k] = value
    return found


@compiled
def value_at_risk(returns: FloatArray, level: float = 0.95) -> float:
    """Return the smallest loss that is exceeded with probability at most ``1 - level``.

    Parameters
    ----------
    returns : (n,) simple returns.
    level : confidence, a fraction between 0 and 1.

    Returns
    -------
    Loss of one session as a positive fraction (negative when even this tail gains); NaN when n = 0 or a
    return is NaN.

    Raises
    ------
    InputError
        When ``level`` is outside [0, 1].

    Notes
    -----
    ``skfolio.measures.value_at_risk``: the (k + 1)-th largest loss when ``k = (1 - level) * n`` is whole;
    nothing is interpolated. One deviation: skfolio leaves a NaN return out.
    """
    if not 0.0 <= level <= 1.0:
        raise InputError("level must be a fraction between 0 and 1, such as 0.95")
    n = len(returns)
    if n == 0 or np.isnan(returns).any():
        return np.nan
    if level == 1.0:
        return float(-returns.min())
    # The tolerance keeps a whole tail size such as (1 - 0.9) * 10 from falling to the integer below.
    tail = (1.0 - level) * n + 4.0 * np.finfo(np.float64).eps * n
    i = min(n - 1, int(np.floor(tail)))
    return float(-_smallest(returns, i + 1)[i])


@compiled
def conditional_value_at_risk(returns: FloatArray, level: float = 0.95) -> float:
    """Return the mean of the worst losses, those of probability ``1 - level``.

    Parameters
    ----------
    returns : (n,) simple returns.
    level : confidence, a fraction between 0 and 1.

    Returns
    -------
    Loss of one session as a positive fraction (negative when even this tail gains); NaN when n = 0 or a
    return is NaN.

    Raises
    ------
    InputError
        When ``level`` is outside [0, 1].

    Notes
    -----
    ``skfolio.measures.cvar``: Rockafellar and Uryasev (2002), "Conditional value-at-risk for general loss
    distributions", Journal of Banking & Finance 26(7), Proposition 8; the last loss of the tail counts by its
    fraction. One deviation: skfolio leaves a NaN return out.
    """
    if not 0.0 <= level <= 1.0:
        raise InputError("level must be a fraction between 0 and 1, such as 0.95")
    n = len(returns)
    if n == 0 or np.isnan(returns).any():
        return np.nan
    if level == 1.0:
        return float(-returns.min())
    tail = (1.0 - level) * n
    i = max(0, int(np.ceil(tail)) - 1)
    parted = _smallest(returns, i + 1)
    worst = 0.0
    for j in range(i):
        worst += parted[j]
    return float(-worst / tail + parted[i] * (i / tail - 1.0))


@compiled
def annual_turnover(traded_notional: FloatArray, equity: FloatArray, periods_per_year: float) -> float:
    """Return how often a year the account is turned over.

    Parameters
    ----------
    traded_notional : (k,) quantity times price of fills, in account currency, of any sign; may be empty.
    equity : (T,) account value in account currency, oldest first.
    periods_per_year : sessions in a year, such as 252; > 0.

    Returns
    -------
    Times a year, >= 0; 1.0 when buys and sells are each the mean equity in a year. NaN when T < 2, or when
    the mean equity is not positive.

    Notes
    -----
    ``sum |notional| / 2 / mean equity / years`` with ``years = (T - 1) / periods_per_year``. Funds report the
    smaller of buys and sells instead of half of their sum (SEC Form N-1A, Item 13, instruction 4(d)).
    """
    if len(equity) < 2:
        return np.nan
    mean_equity = equity.mean()
    if not mean_equity > 0.0:
        return np.nan
    return float(np.abs(traded_notional).sum() / 2.0 / mean_equity * periods_per_year / (len(equity) - 1))
