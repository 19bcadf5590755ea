"""What every room speaks: pure, without Dagster and without input or output."""
