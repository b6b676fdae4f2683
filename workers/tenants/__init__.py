"""Keys of before certificates told the tenant: each is given its own once, by a signed list."""
