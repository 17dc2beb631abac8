"""A customer's way through the platform: requests to the ingress, and what they make and leave."""


class Misbehaved(Exception):
    """The platform did not do what it had to; the message says what was expected and seen."""
