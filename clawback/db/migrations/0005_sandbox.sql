-- Where the clock of a test book is being moved to; NULL while it only runs. Until it is there,
-- what falls due in the book is done in order of its time by whoever moves the clock. NOT VALID:
-- the new column is empty, there is nothing to look at.

ALTER TABLE heads
ADD COLUMN clock_target_seconds bigint,
ADD CONSTRAINT heads_clock_target CHECK (
    clock_target_seconds BETWEEN clock_offset_seconds AND 63072000
) NOT VALID;
