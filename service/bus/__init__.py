"""Adapters of the bus port: `memory` in one process, `http` from agent to service."""
