"""Explains what becomes of a request without sending anything: who asks, which limits, which route and target, which price.

`question` builds the request, `decision` puts the explanation together from the functions that the gateway's own path
asks, `sources` are where live figures come from, `rendering` writes it down.
"""
