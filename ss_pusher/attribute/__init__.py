"""Names for sockets: who opened them, which service, unit, container, process and network they belong to."""
