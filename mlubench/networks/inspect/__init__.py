"""A network layer by layer: shapes, parameters, operations."""
