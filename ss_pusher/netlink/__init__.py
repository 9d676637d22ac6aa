"""Reading the kernel's sockets: sock_diag requests, replies into columns, filters, destroy events."""
