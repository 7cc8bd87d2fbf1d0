"""Statements as documents: their one spelling, how two differ, and when each is due."""
