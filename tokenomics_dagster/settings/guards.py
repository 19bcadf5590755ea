"""Beyond which figures something is refused, told, or left to a person."""

from typing import Annotated

from pydantic import Field

from tokenomics_dagster.settings.section import Change, Days, DaysOrNone, Names, Percent, Section


class GuardSettings(Section):
    min_universe_pct: Percent
    max_failed_pct: Percent
    min_fetched_pct: Percent
    min_scored_pct: Percent
    max_score_age_days: Days
    max_plan_age_min: Annotated[
        float, Field(gt=0, le=10_080, allow_inf_nan=False)
    ]  # a week: then there is another plan
    max_quote_age_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
    max_unpriced_pct: Percent
    max_spread_bps: Change
    max_price_move_pct: Change
    max_plan_price_move_pct: Change
    max_bad_quotes_pct: Percent
    min_flawed_names: Names
    min_minutes_to_close: Annotated[float, Field(ge=0, le=390, allow_inf_nan=False)]  # a session is as long
    max_turnover_pct: Change
    max_exits: Annotated[int, Field(ge=0, le=20_000)]
    max_sold_pct: Percent
    max_daily_loss_pct: Percent
    max_drawdown_pct: Percent
    max_cash_difference_usd: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
    max_untraded_pct: Percent
    ignored_untraded_pct: Percent
    max_cash_off_pct: Percent
    max_shrink_pct: Percent
    max_universe_turnover_pct: Percent
    max_median_cap_change_pct: Change
    max_quarantined_pct: Percent
    max_doubtful_pct: Percent
    max_missing_pct: Percent
    max_same_value_pct: Percent
    max_failing_days: DaysOrNone
    max_twins_pct: Percent
    max_unit_change_pct: Percent
    max_lost_pct: Percent
    max_lost_weight_pct: Percent
    least_names: Names
    max_mean_score_shift: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
    min_rank_correlation: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
    min_names: Names
    max_industry_pct: Percent
    max_drift_after_pct: Percent

    def too_many_flawed(self, names: int, of: int) -> bool:
        """Whether so many cannot be traded that it is no matter of these names: few never are, whatever their share."""
        return names >= self.min_flawed_names and 100 * names > self.max_bad_quotes_pct * of
