"""Beyond which figures something is refused, told, or left to a person."""

from pydantic import Field

from tokenomics_dagster.settings.section import Change, Days, DaysOrNone, NameCount, Percent, Section


class GuardSettings(Section):
    min_universe_pct: Percent = Field(60.0, description="percent of universe.size that a new universe must hold")
    max_failed_pct: Percent = Field(
        2.0, description="percent of symbols that a sweep may fail to fetch; one symbol alone is never too many"
    )
    min_fetched_pct: Percent = Field(
        95.0,
        description="percent of the universe with financials from the last completed sweep, before scores are made",
    )
    min_scored_pct: Percent = Field(75.0, description="percent of the universe with a score, before a snapshot is kept")
    max_score_age_days: Days = Field(
        8.0, description="days between the score snapshot, or the figures that it was made from, and an order"
    )
    max_plan_age_min: float = Field(
        30.0,
        gt=0,
        le=10_080,  # a week: then there is another plan
        description="minutes between the trade plan and its first order",
    )
    max_quote_age_s: float = Field(
        900.0, gt=0, le=86_400, description="seconds; an older quote prices nothing (IEX quotes thinly)"
    )
    max_unpriced_pct: Percent = Field(
        5.0, description="percent of the names of a plan without a price; more is a broken feed, not thin trading"
    )
    max_spread_bps: Change = Field(
        100.0, description="basis points between bid and ask; the tick alone makes 64 of a 3 USD stock"
    )
    max_price_move_pct: Change = Field(
        25.0, description="percent between the quote and the previous close; beyond it somebody should look first"
    )
    max_plan_price_move_pct: Change = Field(
        3.0,
        description="percent between two prices of a name minutes apart: planned and met by the order, last trade"
        " and quote; six deviations of a quarter of an hour",
    )
    max_bad_quotes_pct: Percent = Field(
        10.0,
        description="percent of a phase's names with such a quote; more stops the run; or of a plan's names that "
        "the broker does not trade: more count as not traded",
    )
    min_flawed_names: NameCount = Field(
        5,
        description="names; fewer without a price, with a bad quote or not traded by the broker stop nothing by "
        "their percentage: each is left alone",
    )
    min_minutes_to_close: float = Field(
        15.0,
        ge=0,
        le=390,  # a session is as long
        description="minutes of the session that must be left for orders to become final",
    )
    max_turnover_pct: Change = Field(
        60.0,
        description="percent of equity, half of buys plus sells; the first portfolio is 50; more waits for approval",
    )
    max_exits: int = Field(40, ge=0, le=20_000, description="names sold whole; more waits for approval")
    max_sold_pct: Percent = Field(40.0, description="percent of equity sold; more waits for approval")
    max_daily_loss_pct: Percent = Field(
        8.0, description="percent of equity since the previous close; more halts all trading until `tokenomics resume`"
    )
    max_drawdown_pct: Percent = Field(30.0, description="percent of equity since its highest; more halts all trading")
    max_cash_difference_usd: float = Field(
        5.0, ge=0, le=1e6, description="USD between cash and what the fills explain: regulatory fees on sells"
    )
    max_untraded_pct: Percent = Field(
        10.0,
        description="percent of what a week means to move, in USD, that may stay untraded, or of equity in names "
        "that the broker does not trade; more, and the week is told and tried again: as much as "
        "max_bad_quotes_pct lets go for thin quotes",
    )
    ignored_untraded_pct: Percent = Field(
        0.5,
        description="percent of equity; less than this untraded is no matter, however small the plan: half of one"
        " name of a hundred",
    )
    max_cash_off_pct: Percent = Field(
        10.0,
        description="percent of equity between the cash left and the cash meant after a rebalance; drifts under "
        "rebalancing.rebalance_threshold_pct leave a few",
    )
    max_shrink_pct: Percent = Field(
        15.0, description="percent by which the listings or the universe may shrink against the last ones"
    )
    max_universe_turnover_pct: Percent = Field(
        20.0,
        description="percent of the last universe that may be replaced at once: the lesser of the names in and out",
    )
    max_median_cap_change_pct: Change = Field(
        40.0, description="percent, median of the absolute changes of the market caps since the last universe"
    )
    max_quarantined_pct: Percent = Field(
        35.0,
        description="percent of the profiles asked for whose market cap is quarantined; seen 6 of 2,000, up to 27"
        " where 40 are asked for",
    )
    max_doubtful_pct: Percent = Field(
        10.0,
        description="percent of the last universe's market cap, or of what is held, that may be gone or in doubt "
        "at once for another reason than rank; mergers take some 0.7 % of the names a month",
    )
    max_missing_pct: Percent = Field(
        45.0,
        description="percent of the universe without a value of a metric; seen at most 28: growth of EPS that "
        "were negative",
    )
    max_same_value_pct: Percent = Field(
        40.0,
        description="percent of the values of a metric, or of the scores, that are one and the same; seen at most"
        " 1.4, of 25 stocks 10",
    )
    max_failing_days: DaysOrNone = Field(10.0, description="days for which a symbol may fail before somebody is told")
    max_twins_pct: Percent = Field(
        1.0, description="percent of the universe with exactly the figures of another issuer; seen none"
    )
    max_unit_change_pct: Percent = Field(
        2.0,
        description="percent of a metric's values that are 100, 1,000 or 1,000,000 times, or a part of, what "
        "their names were last scored by, or zeros where there was a value; seen no such multiple, "
        "zeros at most 0.4",
    )
    max_lost_pct: Percent = Field(
        5.0, description="percent of the scored names that lose their score at once; seen at most 2.7"
    )
    max_lost_weight_pct: Percent = Field(
        5.0,
        description="percent of the last target weights whose names lose their score at once; seen at most 1.2: "
        "one name",
    )
    least_names: NameCount = Field(
        3, description="names; the four guards above refuse for no fewer: of 20 held names one makes 5 percent"
    )
    max_mean_score_shift: float = Field(
        10.0,
        gt=0,
        le=100,
        description="points, mean of the scores' absolute changes since the last snapshot; seen at most 2.9 a "
        "week, 18.7 where figures slip to the next name",
    )
    min_rank_correlation: float = Field(
        0.6,
        ge=-1,
        le=1,
        description="correlation of the scores' ranks (Spearman's) with those of the last snapshot; less is a "
        "warning; seen at least 0.90",
    )
    min_names: NameCount = Field(5, description="names of a portfolio; fewer are a broken input, not a choice")
    max_industry_pct: Percent = Field(40.0, description="percent of the portfolio in one industry; more is a warning")
    max_drift_after_pct: Percent = Field(
        1.0,
        description="percent of equity between weight and target of a traded name after the rebalance; more is a "
        "warning",
    )

    def too_many_flawed(self, names: int, of: int) -> bool:
        """Whether so many cannot be traded that it is no matter of these names: few never are, whatever their share."""
        return names >= self.min_flawed_names and 100 * names > self.max_bad_quotes_pct * of
