"""The self-service pages of a team, one module for each page; their frame is gateway_project/dashboard."""
