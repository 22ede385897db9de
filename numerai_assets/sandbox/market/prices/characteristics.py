"""About 500 price and volume characteristics: one function per family, one family per group of Numerai.

A function takes a Window and returns {name: (n,) float32}. The number in a name is the look-back in trading days up to
and including the day itself; values that are not defined (0 / 0, too little history) are NaN. Nothing is annualised:
only the ranking within a day matters downstream.

Sources: the definitions are the common ones (Wilder for RSI and directional movement, Lambert for CCI, Amihud, Roll,
Corwin and Schultz, Parkinson, Garman and Klass, Rogers and Satchell, Lo and MacKinlay, Heston and Sadka).
"""

from collections.abc import Callable

import numpy as np

from numerai_assets.sandbox.market.prices.windows import (
    DAYS,
    YEAR,
    Array,
    Window,
    autocorrelations,
    combine,
    correlations,
    covariances,
    deviations,
    exponential_means,
    macd_kernels,
    mean_ratio,
    means,
    sums,
    trends,
    variances,
)

Spans = tuple[int, ...]
Family = Callable[[Window], dict[str, Array]]

SPANS: Spans = (21, 63, 252)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")


def characterise(window: Window) -> dict[str, Array]:
    """All characteristics of all families, in a fixed order, NaN where undefined."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return {name: values for _, family in FAMILIES for name, values in family(window).items()}


def groups_of() -> dict[str, str]:
    """{characteristic: group} in the order of `characterise`."""
    window = Window.without_stocks()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return {name: group for group, family in FAMILIES for name in family(window)}


def seasonality(window: Window) -> dict[str, Array]:
    """Returns of the coming month and quarter in earlier years, and returns by weekday."""
    close = window.long_close
    found = {}
    for label, length in (("month", 21), ("quarter", 63)):
        for years in range(1, 6):
            start = -1 - YEAR * years
            found[f"same_{label}_return_{years}_years_ago"] = close[start + length] / close[start] - 1
    month = np.stack([found[f"same_month_return_{years}_years_ago"] for years in range(1, 6)])
    for years in range(2, 6):
        found[f"same_month_mean_return_{years}_years"] = month[:years].mean(axis=0)
        other = close[-1] / close[-1 - YEAR * years] / np.prod(1 + month[:years], axis=0) - 1
        found[f"other_months_return_{years}_years"] = other
    is_day = (np.arange(len(WEEKDAYS))[:, None] == window.weekdays[1:]).astype(np.float32)
    for span in (126, 252):
        days = is_day[:, -span:]
        mean = combine(days, window.returns[-span:]) / days.sum(axis=1, keepdims=True)
        found |= {f"{day}_mean_return_{span}": mean[i] for i, day in enumerate(WEEKDAYS)}
    return found


def momentum(window: Window) -> dict[str, Array]:
    """Returns over many look-backs; `skip` leaves out the newest days: from 252 to 21 days ago is momentum_252_skip_21."""

    def change(span: int, skip: int = 0) -> Array:
        ratio: Array = window.long_close[-1 - skip] / window.long_close[-1 - span]
        return ratio - 1

    found = {f"momentum_{s}": change(s) for s in (1, 2, 3, 5, 10, 21, 42, 63, 84, 126, 189, 252, 378, 504, 756, 1260)}
    for skip, spans in ((5, (21, 42, 63, 126, 252)), (21, (63, 126, 189, 252, 504)), (126, (252,)), (252, (504, 756))):
        found |= {f"momentum_{span}_skip_{skip}": change(span, skip) for span in spans}
    for span in (5, 21, 42, 63, 126):
        found[f"momentum_change_{span}"] = change(span) - change(2 * span, span)
    up = (window.returns > 0).astype(np.float32)
    found |= _named("share_of_up_days", (10, *SPANS), means(up, (10, *SPANS)))
    per_deviation = means(window.returns, SPANS) / deviations(window.returns, SPANS)
    return found | _named("momentum_per_volatility", SPANS, per_deviation)


def oscillators(window: Window) -> dict[str, Array]:
    """RSI, stochastics, Williams %R, CCI, MACD, directional movement and the ultimate oscillator."""
    found: dict[str, Array] = {}
    change = np.diff(window.close, axis=0) / window.close[-1]
    spans: Spans = (5, 9, 14, 21, 42, 63)
    rise = exponential_means(np.maximum(change, 0), [1 / s for s in spans])
    fall = exponential_means(np.maximum(-change, 0), [1 / s for s in spans])
    found |= _named("rsi", spans, 100 * rise / (rise + fall))
    stochastic = {s: np.stack([_stochastic(window, s, ago) for ago in range(3)]) for s in (5, 14, 28, 63)}
    found |= {f"stochastic_k_{s}": k[0] for s, k in stochastic.items()}
    found |= {f"stochastic_d_{s}": k.mean(axis=0) for s, k in stochastic.items()}
    found |= {f"williams_r_{s}": _stochastic(window, s) - 100 for s in (10, 42, 126)}
    typical = (window.top + window.bottom + window.close) / (3 * window.close[-1])
    for span in (10, 20, 40, 63):
        centred = typical[-span:] - typical[-span:].mean(axis=0)
        found[f"cci_{span}"] = centred[-1] / (np.float32(0.015) * np.abs(centred).mean(axis=0))
    for fast, slow, signal in ((5, 35, 5), (8, 17, 9), (12, 26, 9), (19, 39, 9)):
        line, histogram = combine(macd_kernels(DAYS, fast, slow, signal), window.log_close)
        found |= {f"macd_{fast}_{slow}": line, f"macd_histogram_{fast}_{slow}_{signal}": histogram}
    higher, lower = np.diff(window.top, axis=0), -np.diff(window.bottom, axis=0)
    spans, alphas = (14, 28, 63), (1 / 14, 1 / 28, 1 / 63)
    true_range = exponential_means(window.true_range * window.close[:-1], alphas)
    plus = exponential_means(np.where((higher > lower) & (higher > 0), higher, np.float32(0)), alphas) / true_range
    minus = exponential_means(np.where((lower > higher) & (lower > 0), lower, np.float32(0)), alphas) / true_range
    found |= _named("directional_up", spans, plus) | _named("directional_down", spans, minus)
    found |= _named("directional_balance", spans, (plus - minus) / (plus + minus))
    low = np.minimum(window.bottom[1:], window.close[:-1])
    pressure = mean_ratio(window.close[1:] - low, window.true_range * window.close[:-1], (7, 14, 28))
    found["ultimate_oscillator_7_14_28"] = (4 * pressure[0] + 2 * pressure[1] + pressure[2]) / np.float32(7)
    return found


def moving_averages(window: Window) -> dict[str, Array]:
    """Distance of the price to its averages and bands, and of averages to one another."""
    close = window.close / window.close[-1]
    spans: Spans = (5, 10, 20, 50, 100, 150, 200)
    mean = dict(zip(spans, means(close, spans), strict=True))
    found = {f"price_to_average_{s}": 1 / mean[s] - 1 for s in spans}
    exponential = dict(zip(spans, exponential_means(close, [2 / (s + 1) for s in spans]), strict=True))
    found |= {f"price_to_exponential_average_{s}": 1 / exponential[s] - 1 for s in spans}
    pairs = ((5, 20), (5, 50), (10, 50), (20, 50), (20, 100), (50, 100), (50, 150), (50, 200), (100, 200))
    found |= {f"average_{fast}_to_{slow}": mean[fast] / mean[slow] - 1 for fast, slow in pairs}
    bands = (10, 20, 50, 100, 200)
    spread = deviations(close - 1, bands)
    for row, span in enumerate(bands):
        found[f"bollinger_position_{span}"] = (1 - mean[span]) / (2 * spread[row])
    five_days_ago = means(close[:-5], (20, 50, 100, 200))
    found |= {f"average_{s}_change_5": mean[s] / five_days_ago[i] - 1 for i, s in enumerate((20, 50, 100, 200))}
    spans = (5, *SPANS)
    weighted = mean_ratio(close * window.volume, window.volume, spans)
    found |= _named("price_to_volume_weighted_average", spans, 1 / weighted - 1)
    average_range = means(window.true_range, (10, 20, 50))
    for row, span in enumerate((10, 20, 50)):
        found[f"keltner_position_{span}"] = (1 - exponential[span]) / average_range[row]
    return found


def volatility(window: Window) -> dict[str, Array]:
    """Close-to-close, range-based and downside volatility, true range, and their ratios between look-backs."""
    returns = window.returns
    spans: Spans = (5, 10, 21, 42, 63, 126, 252)
    deviation = dict(zip(spans, deviations(returns, spans), strict=True))
    found = {f"volatility_{s}": deviation[s] for s in spans}
    pairs = ((5, 21), (5, 63), (10, 42), (21, 63), (21, 126), (21, 252), (63, 252))
    found |= {f"volatility_ratio_{near}_{far}": deviation[near] / deviation[far] for near, far in pairs}
    log_range, body = window.log_range, window.intraday
    spans = (5, 10, *SPANS)
    squared_range = log_range * log_range
    found |= _named("parkinson_volatility", spans, np.sqrt(means(squared_range, spans) / np.float32(4 * np.log(2))))
    garman_klass = squared_range / 2 - np.float32(2 * np.log(2) - 1) * body * body
    found |= _named("garman_klass_volatility", spans, np.sqrt(np.maximum(means(garman_klass, spans), 0)))
    up = np.log(window.high[1:] / window.close[1:])
    rogers_satchell = up * (up + body) + (up - log_range) * (up - log_range + body)
    found |= _named("rogers_satchell_volatility", spans, np.sqrt(np.maximum(means(rogers_satchell, spans), 0)))
    found |= _named("average_true_range", spans, means(window.true_range, spans))
    below = np.minimum(returns, 0)
    found |= _named("downside_volatility", SPANS, np.sqrt(means(below * below, SPANS)))
    found |= _named(
        "exponential_volatility", (10, 30, 90), np.sqrt(exponential_means(returns * returns, (0.1, 1 / 30, 1 / 90)))
    )
    absolute = np.abs(returns)
    spread = deviations(absolute, SPANS) / means(absolute, SPANS)
    return found | _named("volatility_of_volatility", SPANS, spread)


def market_risk(window: Window) -> dict[str, Array]:
    """Beta, correlation, co-moments and the residual after the equal-weight market."""
    returns, market = window.returns, window.market
    spans: Spans = (21, 42, 63, 126, 252)
    beta = covariances(returns, market, spans) / variances(market, spans)
    own = np.maximum(variances(returns, spans) - beta * beta * variances(market, spans), 0)
    found = _named("beta", spans, beta)
    found |= _named("market_correlation", spans, correlations(returns, market, spans))
    found |= _named("idiosyncratic_volatility", spans, np.sqrt(own))
    alpha = means(returns, spans) - beta * means(market, spans)
    found |= _named("alpha", spans, alpha) | _named("alpha_per_volatility", spans, alpha / np.sqrt(own))
    residual = returns - beta[-1] * market
    found |= _named("residual_momentum", (5, 10, 21, 63), sums(residual, (5, 10, 21, 63)))
    spans = SPANS[1:]
    for side, days in (("downside", market < 0), ("upside", market > 0)):
        on = days.astype(np.float32)
        count, mean_market = sums(on, spans), sums(on * market, spans)
        joint = sums(on * returns * market, spans) - sums(on * returns, spans) * mean_market / count
        found |= _named(f"{side}_beta", spans, joint / (sums(on * market * market, spans) - mean_market**2 / count))
    pairs = _pairs(spans)
    late = covariances(returns[1:], market[:-1], pairs) / variances(market[:-1], pairs)
    found |= _named("market_lag_beta", spans, late)
    for span in spans:
        stock, others = (x[-span:] - x[-span:].mean(axis=0) for x in (returns, market))
        scale = np.sqrt((stock * stock).mean(axis=0)) * (others * others).mean(axis=0)
        found[f"coskewness_{span}"] = (stock * others * others).mean(axis=0) / scale
        cubed = np.sqrt((stock * stock).mean(axis=0)) * (others * others).mean(axis=0) ** 1.5
        found[f"cokurtosis_{span}"] = (stock * others**3).mean(axis=0) / cubed
    return found


def liquidity(window: Window) -> dict[str, Array]:
    """Price impact, spreads estimated from prices, idle days, and level and variability of dollar volume."""
    returns, dollars = window.returns, window.dollar_volume[1:]
    traded = np.where(dollars > 0, dollars, np.float32(np.nan))
    spans = (5, 10, 21, 63, 126, 252)
    amihud = means(np.abs(returns) / traded, spans)
    found = _named("amihud", spans, amihud)
    for near, far in ((0, 3), (2, 3), (2, 4), (2, 5), (3, 5)):
        found[f"amihud_ratio_{spans[near]}_{spans[far]}"] = amihud[near] / amihud[far]
    found |= _named("zero_return_share", SPANS, means((returns == 0).astype(np.float32), SPANS))
    found |= _named("dollar_volume", spans, means(dollars, spans))
    found |= _named("dollar_volume_variability", SPANS, deviations(dollars / dollars.mean(axis=0), SPANS))
    bounce = -covariances(returns[1:], returns[:-1], _pairs(SPANS))
    found |= _named("roll_spread", SPANS, 2 * np.sign(bounce) * np.sqrt(np.abs(bounce)))
    two_high, two_low = np.maximum(window.high[1:], window.high[:-1]), np.minimum(window.low[1:], window.low[:-1])
    squared = np.log(window.high / window.low) ** 2
    scale = np.float32(3 - 2 * np.sqrt(2))
    widening = np.sqrt(squared[1:] + squared[:-1]) * np.float32((np.sqrt(2) - 1) / scale)
    exponent = widening - np.log(two_high / two_low) / np.sqrt(scale)
    found |= _named("corwin_schultz_spread", SPANS, means(np.maximum(np.tanh(exponent / 2) * 2, 0), SPANS))
    signed = np.sign(returns) * np.sqrt(dollars)
    found |= _named("price_impact", SPANS, mean_ratio(returns * signed, signed * signed, SPANS))
    found["price_level"] = window.close[-1]
    return found


def shape_of_returns(window: Window) -> dict[str, Array]:
    """Skew, kurtosis, extremes, quantiles, jumps and asymmetry of daily returns."""
    returns = window.returns
    spans = (5, 10, *SPANS)
    found: dict[str, Array] = {f"max_return_{s}": returns[-s:].max(axis=0) for s in spans}
    found |= {f"min_return_{s}": returns[-s:].min(axis=0) for s in spans}
    mean = sums(returns, SPANS) / np.array(SPANS, dtype=np.float32)[:, None]
    for row, span in enumerate(SPANS):
        centred = returns[-span:] - mean[row]
        square = centred * centred
        variance = square.mean(axis=0)
        found[f"skewness_{span}"] = (square * centred).mean(axis=0) / variance**1.5
        found[f"kurtosis_{span}"] = (square * square).mean(axis=0) / variance**2 - 3
    for span in (63, 252):
        ordered = np.sort(returns[-span:].T, axis=1)
        found[f"return_quantile_05_{span}"] = ordered[:, round(0.05 * (span - 1))].copy()
        found[f"return_quantile_95_{span}"] = ordered[:, round(0.95 * (span - 1))].copy()
        found[f"median_return_{span}"] = ordered[:, (span - 1) // 2].copy()
        found[f"mean_of_five_largest_returns_{span}"] = ordered[:, -5:].mean(axis=1)
        found[f"mean_of_five_smallest_returns_{span}"] = ordered[:, :5].mean(axis=1)
    rise, fall = np.maximum(returns, 0), np.minimum(returns, 0)
    found |= _named("up_to_down_variance", SPANS, mean_ratio(rise * rise, fall * fall, SPANS))
    absolute = np.abs(returns)
    # Products of neighbouring returns ignore single jumps (Barndorff-Nielsen and Shephard 2004).
    bipower = means(absolute[1:] * absolute[:-1], _pairs(SPANS)) * np.float32(np.pi / 2)
    found |= _named("jump_share", SPANS, 1 - bipower / means(returns * returns, SPANS))
    large = (absolute > 2 * deviations(returns, (YEAR,))).astype(np.float32)
    return found | _named("large_move_share", SPANS, means(large, SPANS))


def highs_and_lows(window: Window) -> dict[str, Array]:
    """Distance and time to highs and lows, drawdowns, new highs."""
    now, close = window.close[-1], window.close
    spans = (5, 10, 21, 42, 63, 126, 252)
    found: dict[str, Array] = {f"distance_to_high_{s}": now / window.highest[s - 1] - 1 for s in spans}
    found |= {f"distance_to_low_{s}": now / window.lowest[s - 1] - 1 for s in spans}
    found["position_in_range_252"] = _stochastic(window, YEAR) / 100
    for span in (504, 756, 1260):
        past = window.long_close[-span:]
        found[f"distance_to_closing_high_{span}"] = now / past.max(axis=0) - 1
        found[f"distance_to_closing_low_{span}"] = now / past.min(axis=0) - 1
    for span in SPANS:
        part = close[-span:]
        high = np.maximum.accumulate(part)
        drawdown = part / high - 1
        found[f"largest_drawdown_{span}"] = drawdown.min(axis=0)
        found[f"mean_drawdown_{span}"] = drawdown.mean(axis=0)
        found[f"new_high_share_{span}"] = (drawdown == 0).mean(axis=0, dtype=np.float32)
        found[f"largest_rise_{span}"] = (part / np.minimum.accumulate(part)).max(axis=0) - 1
        found[f"days_since_high_{span}"] = part[::-1].argmax(axis=0).astype(np.float32)
        found[f"days_since_low_{span}"] = part[::-1].argmin(axis=0).astype(np.float32)
    return found


def volume(window: Window) -> dict[str, Array]:
    """Volume against its past, its trend and variability, and whether it came with rising or falling prices."""
    shares, logs, returns = window.volume[1:], window.log_volume[1:], window.returns
    spans: Spans = (1, 5, 10, 21, 63, 126, 252)
    mean = dict(zip(spans, means(shares, spans), strict=True))
    dollars = dict(zip(spans, means(window.dollar_volume[1:], spans), strict=True))
    pairs = ((1, 5), (1, 21), (5, 21), (5, 63), (10, 63), (21, 63), (21, 126), (21, 252), (63, 252), (126, 252))
    found = {f"volume_ratio_{near}_{far}": mean[near] / mean[far] for near, far in pairs}
    found |= {f"dollar_volume_ratio_{near}_{far}": dollars[near] / dollars[far] for near, far in pairs[1::2]}
    slope, fit, _ = trends(logs, (10, *SPANS))
    found |= _named("volume_trend", (10, *SPANS), slope) | _named("volume_trend_fit", SPANS, fit[1:])
    deviation = deviations(logs, SPANS)
    found |= _named("volume_variability", SPANS, deviation)
    found |= _named("volume_surprise", SPANS, (logs[-1] - means(logs, SPANS)) / deviation)
    found |= {f"largest_volume_to_mean_{s}": shares[-s:].max(axis=0) / mean[s] for s in SPANS}
    direction, spans = np.sign(returns), (5, 10, *SPANS)
    found |= _named("signed_volume_share", spans, mean_ratio(direction * shares, shares, spans))
    rising, falling = (direction > 0).astype(np.float32), (direction < 0).astype(np.float32)
    sizes = mean_ratio(rising * shares, rising, SPANS) / mean_ratio(falling * shares, falling, SPANS)
    found |= _named("up_to_down_volume", SPANS, sizes)
    spans = (10, *SPANS)
    found |= _named("chaikin_money_flow", spans, mean_ratio(window.close_location[1:] * shares, shares, spans))
    typical = (window.top + window.bottom + window.close) / (3 * window.close[-1])
    rises, flow, spans = np.diff(typical, axis=0) > 0, typical[1:] * shares, (9, 14, 28, 63)
    return found | _named("money_flow_index", spans, mean_ratio(np.where(rises, flow, np.float32(0)), flow, spans))


def overnight_and_intraday(window: Window) -> dict[str, Array]:
    """Overnight against intraday returns, gaps, and the position of the close in the day's range."""
    night, day = window.overnight, window.intraday
    spans: Spans = (1, 5, 10, *SPANS)
    mean_night, mean_day = means(night, spans), means(day, spans)
    found = _named("overnight_return", spans, mean_night) | _named("intraday_return", spans, mean_day)
    found |= _named("overnight_less_intraday", spans[1:], mean_night[1:] - mean_day[1:])
    night_variance, day_variance = means(night * night, SPANS), means(day * day, SPANS)
    found |= _named("overnight_variance_share", SPANS, night_variance / (night_variance + day_variance))
    found |= _named("overnight_volatility", SPANS, np.sqrt(night_variance))
    found |= _named("mean_gap", SPANS, means(np.abs(night), SPANS))
    found |= {f"largest_gap_{s}": np.fmax.reduce(np.abs(night[-s:]), axis=0) for s in SPANS}
    found |= _named("overnight_intraday_correlation", SPANS[1:], correlations(night, day, SPANS[1:]))
    spans = (5, *SPANS)
    return found | _named("close_location", spans, means(window.close_location, spans))


def dependence(window: Window) -> dict[str, Array]:
    """Dependence of a day's return on earlier days, on volume, and on the market's last return."""
    returns, absolute = window.returns, np.abs(window.returns)
    spans: Spans = (21, 63, 126, 252)
    found: dict[str, Array] = {}
    for lag in (1, 2, 3, 5):
        kept = spans if lag == 1 else spans[1:]
        found |= _named(f"autocorrelation_lag_{lag}", kept, autocorrelations(returns, lag, _pairs(kept, lag)))
    found |= _named("autocorrelation_of_size", spans, autocorrelations(absolute, 1, _pairs(spans)))
    lagged = np.broadcast_to(window.market[:-1], returns[1:].shape)
    found |= _named("correlation_with_market_before", spans, correlations(returns[1:], lagged, _pairs(spans)))
    logs, spans = window.log_volume[1:], (10, *SPANS)
    found |= _named("return_volume_correlation", spans, correlations(returns, logs, spans))
    found |= _named("size_volume_correlation", spans, correlations(absolute, logs, spans))
    before = correlations(returns[1:], logs[:-1], _pairs(spans))
    found |= _named("correlation_with_volume_before", spans, before)
    found |= _named("price_volume_correlation", spans, correlations(window.log_close[1:], logs, spans))
    logs = window.log_close
    steps = np.diff(logs, axis=0)
    variance = means(steps * steps, (126, 252))
    for step in (2, 5, 10, 21):
        longer = logs[step:] - logs[:-step]
        ratio = means(longer * longer, (126 - step, 252 - step)) / variance / np.float32(step)
        found |= _named(f"variance_ratio_{step}", (126, 252), ratio)
    return found


def trend(window: Window) -> dict[str, Array]:
    """Linear trend and curvature of the log price, and its efficiency."""
    logs = window.log_close
    spans = (10, 21, 42, 63, 126, 252)
    slope, fit, error = trends(logs, spans)
    found = _named("trend_slope", spans, slope) | _named("trend_fit", spans, fit) | _named("trend_error", spans, error)
    found |= _named("signed_trend_fit", spans, np.sign(slope) * fit)
    for span in (21, 63, 126, 252):
        time = np.linspace(-1, 1, span, dtype=np.float32)
        bend = time * time - (time * time).mean()
        found[f"trend_curvature_{span}"] = combine(bend[None], logs[-span:])[0] / (bend * bend).sum()
    steps = np.abs(np.diff(logs, axis=0))
    path = sums(steps, spans)
    for row, span in enumerate(spans):
        found[f"trend_efficiency_{span}"] = -logs[-1 - span] / path[row]
    for scale in (2, 4, 8, 16, 32, 64, 126):
        near, far = logs[-scale:], logs[-2 * scale : -scale]
        found[f"wave_{scale}"] = near.mean(axis=0) - far.mean(axis=0)
    return found


FAMILIES: tuple[tuple[str, Family], ...] = (
    ("intelligence", seasonality),
    ("charisma", momentum),
    ("strength", oscillators),
    ("dexterity", moving_averages),
    ("constitution", volatility),
    ("wisdom", market_risk),
    ("agility", liquidity),
    ("serenity", shape_of_returns),
    ("sunshine", highs_and_lows),
    ("rain", volume),
    ("midnight", overnight_and_intraday),
    ("faith", dependence),
    ("quantum", trend),
)


def _named(label: str, spans: Spans, rows: Array) -> dict[str, Array]:
    return {f"{label}_{span}": row for span, row in zip(spans, rows, strict=True)}


def _stochastic(window: Window, span: int, days_ago: int = 0) -> Array:
    """Position of the close, 0 to 100, in the range of the `span` days that ended `days_ago`."""
    days = slice(DAYS - span - days_ago, DAYS - days_ago)
    high, low = window.top[days].max(axis=0), window.bottom[days].min(axis=0)
    position: Array = (window.close[-1 - days_ago] - low) / (high - low)
    return 100 * position


def _pairs(spans: Spans, lag: int = 1) -> Spans:
    """Look-backs over pairs of days `lag` apart: the oldest pair of a whole year would need a day before the window."""
    return tuple(min(span, YEAR - lag) for span in spans)
