-- The conversations in which an employee spoke of another channel.
SELECT DISTINCT conversation_id
FROM matches
WHERE dt BETWEEN $from_day AND $to_day AND category = $category AND party = 'employee';
