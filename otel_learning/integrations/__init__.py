"""Routers of others that can be told by the policy file; each module needs its package."""
