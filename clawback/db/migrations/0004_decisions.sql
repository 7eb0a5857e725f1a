-- clawback: no-transaction
-- Who asked for a claim and who approved it, as persons: a key counts as its owner. NULL where the
-- actor stands for itself, so a key without an owner costs its claims nothing. That one person
-- does not decide alone is a rule of this table too, whatever the code above it does. Rows from
-- before are checked by a statement of its own, beside the service's work.

ALTER TABLE claims
ADD COLUMN IF NOT EXISTS requested_principal text,
ADD COLUMN IF NOT EXISTS approved_principal text;

-- Dropped only where this file was stopped half-way: it bears being run again.
-- squawk-ignore ban-drop-constraint
ALTER TABLE claims DROP CONSTRAINT IF EXISTS claims_principal_lengths;

-- squawk-ignore ban-drop-constraint
ALTER TABLE claims DROP CONSTRAINT IF EXISTS claims_two_principals;

ALTER TABLE claims
ADD CONSTRAINT claims_principal_lengths CHECK (
    length(requested_principal) <= 160 AND length(approved_principal) <= 160
) NOT VALID,
ADD CONSTRAINT claims_two_principals CHECK (
    coalesce(approved_principal, approved_by) <> coalesce(requested_principal, requested_by)
) NOT VALID;

ALTER TABLE claims VALIDATE CONSTRAINT claims_principal_lengths;

ALTER TABLE claims VALIDATE CONSTRAINT claims_two_principals;
