"""What is told of the portfolio: what it earned, what was traded and why. Only reads; nothing is traded or stored."""
