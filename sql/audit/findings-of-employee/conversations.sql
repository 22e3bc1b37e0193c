-- The conversations in which something of this employee was found.
SELECT DISTINCT conversation_id
FROM matches
WHERE dt BETWEEN $from_day AND $to_day AND lower(employee_id) = lower($employee) AND ($category IS NULL OR category = $category);
