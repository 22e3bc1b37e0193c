-- Which messages are there, and when and by whom was each recalled? (Internal: readers tell it as they read the messages, for what asks it alone.)
-- The earliest recall counts; one without a time comes after those with one.
-- HAVING drops nothing: without it DuckDB, which knows the size of neither side, may hold the messages in memory and stream the recalls
-- past them (here and in other views).
CREATE VIEW lake_messages_recalled AS
SELECT
    m.*,
    recall.earliest.recalled_at AS recalled_at,
    recall.earliest.recalled_by AS recalled_by
FROM lake_messages AS m
LEFT JOIN (
    SELECT
        original_msgid,
        arg_min(
            {'recalled_at': recalled_at, 'recalled_by': recalled_by},
            (coalesce(recalled_at, TIMESTAMPTZ 'infinity'), seq)
        ) AS earliest
    FROM lake_recalls
    GROUP BY original_msgid
    HAVING count(*) > 0
) AS recall
    ON recall.original_msgid = m.msgid;
