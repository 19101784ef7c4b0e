"""One module for each feature: its functions, their environment and permissions, and its schedule.

This file imports nothing, because the simulation imports `state_machine` without cdktf.
"""
