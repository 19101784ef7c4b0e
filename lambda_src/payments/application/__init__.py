"""The use cases of the system, one a file. They reach external systems only through ports."""
