"""Reading a PyMC model's log-density graph."""
