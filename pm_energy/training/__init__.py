"""Learning an energy's parameters from data: models, objectives, optimisers and one fit loop."""
