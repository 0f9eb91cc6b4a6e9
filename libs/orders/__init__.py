"""What orders and refunds mean, to the cent: mergeable parts by fragment, settled over a whole profile. No I/O, no clock."""
