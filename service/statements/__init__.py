"""Statements as they are issued: drawn from a cut, kept as rows, restated, shown and explained."""
