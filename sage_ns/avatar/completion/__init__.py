"""What one picture does not show of a head: hair, far side and back, completed from what it shows."""
