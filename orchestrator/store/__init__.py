"""The ledger: the only room that speaks SQL.

Whatever is read or written is a synchronous function of a transaction, run whole by
`Database.transact` or `Database.read`.
"""
