"""How clients are set up for this gateway: blocks to copy, and a check of settings that somebody has. Pure functions.

What clients do with their variables is on docs/claude-code.md, and was seen with Claude Code 2.1.330 (2026-11).
"""
