"""How exact `sage-track` is, on captures with delivered tracking."""
