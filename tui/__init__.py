"""fdi_tui: the dashboard. It reads journals and profiles, and never imports keras."""
