"""The dashboard: a live page of runs, served to a browser on this machine."""

from python_server.dashboard.serve import DashboardSettings, serve

__all__ = ["DashboardSettings", "serve"]
