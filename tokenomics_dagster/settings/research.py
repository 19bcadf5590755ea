"""Where the experiments are that the platform tries on history."""

from pydantic import Field

from tokenomics_dagster.settings.section import Section


class ResearchSettings(Section):
    experiments: str = Field(
        "config/experiments",
        min_length=1,
        description="folder of the experiments (*.yaml), each a partition of backtest; where this folder has none, "
        "that of the checkout",
    )
    trials: str = Field(
        ".tokenomics/trials",
        min_length=1,
        description="folder where the trials of a tuning are kept, so that one that was killed goes on; may be deleted "
        "between two",
    )
    studies: str = Field(
        ".tokenomics/studies",
        min_length=1,
        description="folder where what came of each study and each setting of a tuning is kept, for later ones on the "
        "same prices to count: what is deleted flatters them",
    )
