-- Who asked for a claim and who approved it, as persons: a key counts as its owner. NULL where the
-- actor stands for itself, so a key without an owner costs its claims nothing. That one person
-- does not decide alone is a rule of this table too, whatever the code above it does. NOT VALID:
-- rows from before have no principals, and their actors are compared by claims_self_approval.

ALTER TABLE claims
ADD COLUMN requested_principal text,
ADD COLUMN approved_principal text,
ADD CONSTRAINT claims_principal_lengths CHECK (
    length(requested_principal) <= 160 AND length(approved_principal) <= 160
) NOT VALID,
ADD CONSTRAINT claims_two_principals CHECK (
    coalesce(approved_principal, approved_by) <> coalesce(requested_principal, requested_by)
) NOT VALID;
