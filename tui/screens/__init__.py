"""The five rooms of the dashboard; each is imported when it is first entered."""
