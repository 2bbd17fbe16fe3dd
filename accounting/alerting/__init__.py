"""Alerts: what rules are about (`finding`), each raised once (`raising`), sent until it arrives (`sending`), in the server's own
thread (`running`); who sets rules and destinations (`setting`)."""
