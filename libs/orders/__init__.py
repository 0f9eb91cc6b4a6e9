"""What orders and refunds mean, to the cent: mergeable parts by fragment, settled over a whole profile. No I/O, no clock.

`statements` is what a touchpoint says, `parts` what is kept of it, `settle` what it comes to, `closure` what must be
loaded to know what changed, `currencies` how many decimals money has.
"""
