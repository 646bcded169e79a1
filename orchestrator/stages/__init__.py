"""One arrow of the path each: read what is due, decide, act, record.

Stages meet only through the database. Each has `find`, which reads what is due, and `do`, which
carries one item a step further; the loop that calls them is wired by the daemon.
"""
