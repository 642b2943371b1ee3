"""Rectified flow as plain arithmetic on any array type: t = 0 is data, t = 1 is noise."""
