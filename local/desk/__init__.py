"""The demo desk: a small ticket system of its own, with knowledge, tickets, assets and people.

It stands for the ticket system a company already has. The product knows it by its HTTP API only.
"""
