"""The root of Marquee's errors: each says what is wrong, where, and what to do."""


class MarqueeError(Exception):
    """Something a user can put right; the command line prints its message without a traceback."""
