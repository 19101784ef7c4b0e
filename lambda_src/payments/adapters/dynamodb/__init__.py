"""Stores on DynamoDB, and the schema of the tables."""
