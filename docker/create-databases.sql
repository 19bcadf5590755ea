-- Beside the warehouse's database, which POSTGRES_DB names: Dagster has a table `snapshots` of its own, as the warehouse has.
create database dagster;
