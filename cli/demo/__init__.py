"""A simulated shop: customers who browse, buy (web and till), return, write, complain and come back. It speaks only HTTP."""
