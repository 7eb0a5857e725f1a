"""The sandbox provider: a real peer over HTTP, in a process and with a record of its own.

It stands where a payment provider stands: it takes charges and refunds, settles them later on the
caller's book clock, answers look-ups, sends signed notices, and misbehaves on request. Its record
(one SQLite file) counts what really took effect and is the oracle that tests compare the books
with. It imports nothing of the books, so it cannot share a mistake with them.
"""
