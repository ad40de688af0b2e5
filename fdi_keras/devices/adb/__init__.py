"""Phones over adb: find them, describe them, run commands on them, and leave them as they were.

Importing this package loads no adbutils: that happens with the first connection.
"""
