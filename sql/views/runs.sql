-- Which commands ran, who started them, how did they end, and what did they settle?
-- Start and end of a run are folded into one row; a run that never ended has no finished_at.
CREATE VIEW runs AS
SELECT
    run_id,
    any_value(command) AS command,
    any_value(actor) AS actor,
    min(started_at) AS started_at,
    max(finished_at) AS finished_at,
    max(exit_code) AS exit_code,
    max(landed) AS landed,
    max(archived) AS archived,
    max(pending) AS pending,
    max(withheld) AS withheld,
    max(failed) AS failed,
    max(control) AS control,
    max(duplicate) AS duplicate,
    max(reopened) AS reopened,
    any_value(lexicon_version) AS lexicon_version,
    max(register_version) AS register_version,
    any_value(rsa) AS rsa
FROM lake_runs
GROUP BY run_id;
