"""What the dashboard shows, read from journals, profiles and devices: plain Python, no textual."""
