"""What every room of Marquee shares: settings, database access, contracts, the clock and the command line."""
