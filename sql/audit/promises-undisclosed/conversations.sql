-- The conversations with promises.
SELECT DISTINCT conversation_id
FROM matches
WHERE dt BETWEEN $from_day AND $to_day AND party = 'employee' AND list_contains(string_split($categories, '|'), category);
