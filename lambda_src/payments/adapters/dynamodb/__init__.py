"""Stores on DynamoDB, and the shape of the tables."""
